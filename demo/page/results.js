// What each model's answer looks like. Text is only ever set as text, so no answer is taken for markup.

const COLOURS = ["#ffd8a8", "#a5d8ff", "#b2f2bb", "#fcc2d7", "#d0bfff", "#ffec99", "#99e9f2", "#eebefa", "#d8f5a2", "#ffc9c9"];

const kinds = new Map(); // colours of the types of entities, in the order in which they come

/** Returns a new element with properties (`style` is CSS) and children, which are nodes or text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") element.style.cssText = value;
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const number = (value, digits = 2) => make("td", { className: "number" }, value.toFixed(digits).replace("-", "−"));
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", {}, text)));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells))));
}

/** Returns [text, token's value or undefined] pieces: the text as it was typed, divided where its tokens are. */
function piecesOf(text, tokens) {
  let small = text.toLowerCase();
  if (small.length !== text.length) {
    text = tokens.map(([token]) => token).join(" "); // a letter whose small form is longer: show what is read
    small = text;
  }
  const pieces = [];
  let end = 0;
  for (const [token, value] of tokens) {
    const start = small.indexOf(token, end);
    if (start < 0 || start > end + 40) continue; // spelt otherwise, such as a curly quotation mark
    if (start > end) pieces.push([text.slice(end, start)]);
    end = start + token.length;
    pieces.push([text.slice(start, end), value]);
  }
  pieces.push([text.slice(end)]);
  return pieces;
}

function sentiment(answer, text) {
  if (answer.label === null) return [make("p", { className: "quiet" }, "empty: no word to read")];
  const positive = answer.label === "positive" ? answer.probability : 1 - answer.probability;
  const most = Math.max(...answer.tokens.map(([, value]) => Math.abs(value ?? 0)), 1e-9);
  const coloured = piecesOf(text, answer.tokens).map(([piece, value]) => {
    if (value === undefined) return piece;
    if (value === null) return make("span", { className: "cut", title: "not read: beyond max_length" }, piece);
    const colour = `rgba(var(--${value < 0 ? "against" : "for"}), ${((0.75 * Math.abs(value)) / most).toFixed(3)})`;
    return make("span", { title: signed(value), style: `background: ${colour}` }, piece);
  });
  const words = answer.words.map(([word, value]) => [make("td", {}, word), make("td", { className: "number" }, signed(value))]);
  return [
    make("div", { className: "row" },
      make("span", { className: "big" }, `${answer.label} ${(100 * answer.probability).toFixed(1)} %`),
      make("div", { className: "meter", title: "share of positive" }, make("div", { style: `width: ${100 * positive}%` }))),
    make("p", { className: "text" }, ...coloured),
    make("p", { className: "legend" },
      make("span", { style: "background: rgba(var(--for), 0.5)" }, "speaks for positive"), " ",
      make("span", { style: "background: rgba(var(--against), 0.5)" }, "speaks for negative"), " ",
      make("span", { className: "quiet" }, "contribution to the difference of the logits, by integrated gradients")),
    make("h2", {}, "Words that moved the decision most"),
    table(["word", "contribution"], words),
  ];
}

function mark({ text, type }) {
  if (!kinds.has(type)) kinds.set(type, COLOURS[kinds.size % COLOURS.length]);
  const colour = kinds.get(type);
  return make("mark", { style: `background: ${colour}` }, text, make("small", {}, type));
}

function marked(text, entities) {
  const parts = [];
  let end = 0;
  // Python counts characters, JavaScript halves of those beyond U+FFFF
  const characters = [...text];
  for (const entity of entities) {
    parts.push(characters.slice(end, entity.start).join(""));
    parts.push(mark(entity));
    end = entity.end;
  }
  return make("div", { className: "text" }, ...parts, characters.slice(end).join(""));
}

function entities(answer) {
  const [best, ...others] = answer.best ?? [{ entities: [] }];
  const rows = best.entities.map((entity) => [
    make("td", {}, entity.text), make("td", {}, entity.type), make("td", { className: "number" }, `${entity.start}–${entity.end}`),
  ]);
  const key = (entity) => `${entity.start} ${entity.end} ${entity.type}`;
  const known = new Set(best.entities.map(key));
  const difference = (other) => {
    const theirs = new Set(other.entities.map(key));
    const added = other.entities.filter((entity) => !known.has(key(entity)));
    const left = best.entities.filter((entity) => !theirs.has(key(entity)));
    const marks = [...added.map((entity) => mark(entity)), ...left.map((entity) => make("s", { className: "quiet" }, entity.text))];
    return marks.length ? marks.flatMap((each) => [each, " "]) : ["the same entities by other tags"];
  };
  return [
    marked(answer.text, best.entities),
    rows.length ? table(["entity", "type", "characters"], rows) : make("p", { className: "quiet" }, "no entity"),
    ...(others.length ? [
      make("h2", {}, "Next best answers"),
      table(["score", "in place of the best"], others.map((other) => [number(other.score), make("td", {}, ...difference(other))])),
      make("p", { className: "quiet" }, `score of the best: ${best.score.toFixed(2)}`),
    ] : []),
  ];
}

function translation(answer) {
  const [best, ...others] = answer.translations;
  const parts = [make("p", { className: "big" }, best.text || "(nothing to translate)")];
  if (others.some((row) => row.text)) {
    parts.push(make("h2", {}, `The ${answer.translations.length} best`), table(["score", "translation"],
      answer.translations.map((row) => [number(row.score), make("td", {}, row.text)])));
  }
  if (answer.attention) {
    const { source_pieces: source, target_pieces: target, weights } = answer.attention;
    const name = (piece) => piece.replaceAll("▁", "\u00a0").trim() || "␣";
    const head = make("tr", {}, make("td", { style: "background: none" }), ...source.map((piece) => make("th", {}, name(piece))));
    const rows = weights.map((row, i) => make("tr", {}, make("th", {}, name(target[i])), ...row.map((weight, j) =>
      make("td", { title: `${name(target[i])} ← ${name(source[j])}: ${(100 * weight).toFixed(0)} %` },
        make("div", { style: `opacity: ${weight}` })))));
    parts.push(make("h2", {}, "Attention: a row for each piece that is written, a column for each that is read"),
      make("div", { className: "wide" }, make("table", { className: "attention" }, make("thead", {}, head), make("tbody", {}, ...rows))));
  }
  return parts;
}

function speech(answer, recording) {
  const audio = make("audio", { controls: true, src: URL.createObjectURL(recording) });
  let until = Infinity;
  audio.ontimeupdate = () => { if (audio.currentTime >= until) { audio.pause(); until = Infinity; } };
  audio.onerror = () => audio.replaceWith(make("span", { className: "quiet" }, "the browser cannot play this format"));
  const play = ({ start, end }) => { audio.currentTime = start; until = end; audio.play().catch(() => {}); };
  const segments = answer.segments.map((segment) => make("button", {
    title: `${segment.start.toFixed(2)} to ${segment.end.toFixed(2)} s, probability ${segment.probability.toFixed(2)}`,
    onclick: () => play(segment),
  }, segment.label, make("small", {}, segment.start.toFixed(2))));
  const grid = URL.createObjectURL(new Blob([answer.textgrid], { type: "text/plain" }));
  return [
    make("p", { className: "big" }, answer.labels.join(" ") || "(nothing recognised)"),
    make("div", { className: "row" }, audio,
      make("a", { href: grid, download: `${answer.audio}.TextGrid` }, "TextGrid for Praat"),
      make("span", { className: "quiet" }, `${answer.seconds.toFixed(2)} s`)),
    ...(segments.length ? [make("h2", {}, "Labels from their start in seconds; a click plays one"), make("div", { className: "segments" }, ...segments)] : []),
    make("img", { className: "picture", alt: "waveform, spectrogram and posteriors", src: `data:image/png;base64,${answer.picture}` }),
  ];
}

function contexts(answer) {
  return [
    make("h2", {}, "Nearest contexts"),
    table(["cosine", "context"], answer.contexts.map(({ cosine, place, sentence }) => {
      const words = sentence.split(" ");
      const around = (start, end) => words.slice(Math.max(start, 0), end).join(" ");
      return [number(cosine, 3), make("td", {}, place > 12 ? "… " : "", around(place - 12, place), " ",
        make("mark", { style: `background: ${COLOURS[0]}` }, words[place]), " ", around(place + 1, place + 13),
        words.length > place + 13 ? " …" : "")];
    })),
  ];
}

export const SHOW = { lstm: sentiment, bilstm_ner: entities, gru_seq2seq: translation, ctc_lstm: speech, elmo: contexts };
