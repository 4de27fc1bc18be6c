// How good a new password is, while it is typed. An estimate that stays in the browser: the server makes a better one.

const RUNS = ["abcdefghijklmnopqrstuvwxyz", "0123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm"];

function score(text) {
  let surprising = 0;
  const seen = new Set();
  for (let at = 0; at < text.length; at++) {
    const pair = text.slice(at - 1, at + 1).toLowerCase();
    const follows = at > 0 && (pair[0] === pair[1] || RUNS.some((run) => run.includes(pair)));
    surprising += follows || seen.has(pair) ? 0.25 : 1;
    seen.add(pair);
  }
  const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/, /[^a-zA-Z0-9]/].filter((kind) => kind.test(text)).length;
  const bits = surprising * (2.5 + kinds);
  return [20, 35, 50, 70].filter((enough) => bits >= enough).length;
}

for (const place of document.querySelectorAll("[data-strength-of]")) {
  const field = document.getElementById(place.dataset.strengthOf);
  const labels = JSON.parse(place.dataset.labels);
  field.addEventListener("input", () => {
    const found = score(field.value);
    place.hidden = !field.value;
    place.querySelector("meter").value = found;
    place.querySelector("[role=status]").textContent = labels[found];
  });
}
