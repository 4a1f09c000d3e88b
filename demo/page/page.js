// The tabs, what is asked in them, and trainings; results.js shows the answers.

import { record } from "./microphone.js";
import { make, SHOW } from "./results.js";

const PROMPTS = {
  lstm: "A review in English",
  bilstm_ner: "A sentence in the language of the training, Chinese résumés as a rule",
  gru_seq2seq: "A sentence to translate, German to English as a rule",
  elmo: "A sentence with one word between asterisks, words between blanks",
};
const HINTS = { elmo: "Choose the word:" };
const panels = []; // of each tab: its button, its section, and the checkpoint that the section was made for
let chosen = 0;

/** Asks the server; returns the answer, or throws an Error with the program's own line. */
async function post(path, body, headers = {}) {
  let response;
  try {
    response = await fetch(path, { method: "POST", body, headers });
  } catch {
    throw new Error("the demo has ended; start it again: bash demo/demo.sh");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Shows that something is asked, then what comes of it; an older question's answer never covers a newer one's. */
async function ask(section, question, show) {
  const box = section.querySelector(".answer");
  const turn = (box.turn = (box.turn ?? 0) + 1);
  box.setAttribute("aria-busy", "true");
  const begin = performance.now();
  const waiting = make("p", { className: "quiet" });
  const words = () => {
    const seconds = Math.round((performance.now() - begin) / 1000);
    waiting.textContent = section.answered ? "…" : `starting the program, which takes some seconds … ${seconds} s`;
  };
  words();
  const clock = setInterval(words, 500);
  const soon = setTimeout(() => box.replaceChildren(waiting), section.answered ? 400 : 0);
  let parts;
  try {
    parts = show(await question());
    section.answered = true;
  } catch (error) {
    parts = [make("p", { className: "wrong", role: "alert" }, error.message)];
  }
  clearInterval(clock);
  clearTimeout(soon);
  if (turn !== box.turn) return;
  box.replaceChildren(...parts);
  box.setAttribute("aria-busy", "false");
}

function textTab(number, tab) {
  const field = make("textarea", { rows: tab.model === "lstm" ? 4 : 2, "aria-label": PROMPTS[tab.model], placeholder: PROMPTS[tab.model] });
  const section = make("section");
  const send = () => ask(section, () => post(`ask/${number}`, field.value), (answer) => SHOW[tab.model](answer, answer.query ?? field.value));
  const choose = make("div", { className: "row examples" });
  const offerWords = () => {
    const words = field.value.replaceAll("*", "").split(/\s+/).filter(Boolean);
    choose.replaceChildren(make("span", { className: "quiet" }, HINTS.elmo), ...words.map((word, i) => make("button", {
      onclick: () => {
        field.value = words.map((other, j) => (i === j ? `*${other}*` : other)).join(" ");
        send();
      },
    }, word)));
  };
  field.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  };
  const fill = (text) => {
    field.value = text;
    if (tab.model === "elmo") offerWords();
    send();
  };
  if (tab.model === "elmo") field.oninput = offerWords;
  section.append(
    field,
    make("div", { className: "row" }, make("button", { className: "main", onclick: send }, "Ask"),
      make("span", { className: "quiet" }, "Enter asks, Shift and Enter begins a new line")),
    ...(tab.model === "elmo" ? [choose] : []),
    make("div", { className: "row examples" }, ...tab.examples.map((text) => make("button", { onclick: () => fill(text) }, text))),
    make("div", { className: "answer", "aria-live": "polite" }),
  );
  section.begin = () => fill(tab.examples[0]); // which loads the model meanwhile
  return section;
}

function speechTab(number, tab) {
  const section = make("section");
  const send = (recording, name) => ask(section,
    () => post(`ask/${number}`, recording, { "X-Name": encodeURIComponent(name) }), (answer) => SHOW.ctc_lstm(answer, recording));
  const file = make("input", { type: "file", "aria-label": "audio file", onchange: () => {
    const [chosenFile] = file.files;
    if (chosenFile) send(chosenFile, chosenFile.name);
    file.value = "";
  } });
  let finish = null;
  const microphone = make("button", { className: "main", onclick: async () => {
    try {
      if (finish) {
        const recording = await finish();
        finish = null;
        microphone.textContent = "Record";
        send(recording, "microphone.wav");
      } else {
        finish = await record();
        microphone.textContent = "Stop and recognise";
      }
    } catch (error) {
      const reason = error.name === "NotAllowedError" ? "the browser was not allowed to use the microphone" : `no microphone: ${error.message}`;
      ask(section, () => Promise.reject(new Error(reason)));
    }
  } }, "Record");
  section.ondragover = (event) => event.preventDefault();
  section.ondrop = (event) => {
    event.preventDefault();
    const [dropped] = event.dataTransfer.files;
    if (dropped) send(dropped, dropped.name);
  };
  const examples = tab.recordings.map((name, i) => make("button", { onclick: async () => {
    const response = await fetch(`recording/${number}/${i}`);
    send(await response.blob(), name);
  } }, name));
  section.append(
    make("div", { className: "row" }, microphone, make("label", {}, "or a file: ", file), make("span", { className: "quiet" }, "WAV, FLAC, SPHERE")),
    make("div", { className: "row examples" }, ...examples),
    make("div", { className: "answer", "aria-live": "polite" }, make("p", { className: "quiet" }, "Nothing recognised yet.")),
  );
  section.begin = () => examples[0]?.click();
  return section;
}

function trainingTab(number) {
  const section = make("section");
  const button = make("button", { className: "main", onclick: async () => {
    button.disabled = true;
    await post(`train/${number}`).catch((error) => section.show({ lines: [error.message], code: 1 }));
  } }, "Train the tiny preset");
  const bar = make("progress", { "aria-label": "share of the training", hidden: true });
  const halt = make("button", { hidden: true, onclick: () => post(`stop/${number}`).catch(() => {}) }, "Stop");
  const time = make("span", { className: "quiet number" });
  const lines = make("pre", { hidden: true });
  section.append(
    make("p", {}, "No checkpoint of this model was found or given. The quick start trains a small one on synthetic data, in one to three"
      + " minutes on 2 cores: enough to see how all works, not how good the model is."),
    make("div", { className: "row" }, button, halt, bar, time), lines);
  section.show = (training) => {
    const running = training?.running ?? false;
    button.disabled = running;
    halt.hidden = bar.hidden = !running;
    if (training?.share) bar.value = training.share;
    else bar.removeAttribute("value");
    time.textContent = running ? `${training.seconds} s` : "";
    time.className = "quiet number";
    if (training?.code) {
      time.className = "wrong";
      time.textContent = training.lines.findLast((line) => line.startsWith("error:")) ?? `the training ended with code ${training.code}`;
    }
    lines.hidden = !training;
    lines.textContent = training?.lines.join("\n") ?? "";
  };
  return section;
}

function choose(number) {
  chosen = number;
  panels.forEach(({ button, section }, i) => {
    button.setAttribute("aria-selected", String(i === chosen));
    section.hidden = i !== chosen;
  });
  const { section } = panels[chosen];
  if (section.begin) {
    section.begin();
    section.begin = null;
  }
}

/** Makes the tabs, and a tab's section anew when its training has left a checkpoint. */
function update(tabs) {
  const main = document.querySelector("main");
  tabs.forEach((tab, number) => {
    const panel = (panels[number] ??= {});
    if (!panel.button) {
      panel.button = make("button", { role: "tab", onclick: () => choose(number) }, tab.title);
      document.querySelector("nav").append(panel.button);
    }
    if (!panel.section || panel.checkpoint !== tab.checkpoint) {
      const section = !tab.checkpoint ? trainingTab(number) : tab.model === "ctc_lstm" ? speechTab(number, tab) : textTab(number, tab);
      section.setAttribute("role", "tabpanel");
      section.append(make("p", { className: "quiet" }, tab.checkpoint ? `${tab.model}: ${tab.checkpoint}` : tab.model));
      if (panel.section) panel.section.replaceWith(section);
      else main.append(section);
      Object.assign(panel, { section, checkpoint: tab.checkpoint });
      section.hidden = number !== chosen;
      if (number === chosen) panel.isNew = true;
    }
    panel.section.show?.(tab.training);
  });
  if (panels[chosen].isNew) {
    panels[chosen].isNew = false;
    choose(chosen);
  }
}

const events = new EventSource("events");
events.onmessage = ({ data }) => update(JSON.parse(data));
const footer = document.querySelector("footer");
const rest = footer.textContent;
events.onerror = () => { footer.textContent = "The demo has ended; start it again: bash demo/demo.sh"; };
events.onopen = () => { footer.textContent = rest; };
