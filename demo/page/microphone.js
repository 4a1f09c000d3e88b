// Recordings of the microphone as 16-bit WAV, which every reader of audio knows.

/** Returns a WAV file of samples in [-1, 1], one Float32Array behind the other. */
export function wav(blocks, rate) {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * count, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      at += 2;
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}

/** Begins to record; returns a function that ends the recording and returns it. */
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false } });
  const context = new AudioContext();
  await context.audioWorklet.addModule("taker.js");
  const taker = new AudioWorkletNode(context, "take", { numberOfOutputs: 0 });
  const blocks = [];
  taker.port.onmessage = ({ data }) => blocks.push(data);
  context.createMediaStreamSource(stream).connect(taker);
  return async () => {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    return wav(blocks, context.sampleRate);
  };
}
