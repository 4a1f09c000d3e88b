// Hands over what the microphone gives, a block at a time.
registerProcessor("take", class extends AudioWorkletProcessor {
  process([[samples]]) {
    if (samples) this.port.postMessage(samples.slice());
    return true;
  }
});
