// Registration: a little work, so that asking for accounts by the thousand is dear. See app/domain/bot_defence.py.
const form = document.querySelector("form[data-proof]");
const BATCH = 512;

function isHard(digest, bits) {
  const bytes = new Uint8Array(digest);
  for (let bit = 0; bit < bits; bit += 1) {
    if (bytes[bit >> 3] & (128 >> (bit & 7))) return false;
  }
  return true;
}

async function solve(challenge) {
  const bits = Number(challenge.split(".")[2]);
  const encoder = new TextEncoder();
  for (let start = 0; ; start += BATCH) {
    const numbers = Array.from({ length: BATCH }, (_, index) => start + index);
    const digests = await Promise.all(
      numbers.map((number) => crypto.subtle.digest("SHA-256", encoder.encode(`${challenge}:${number}`))),
    );
    const found = digests.findIndex((digest) => isHard(digest, bits));
    if (found >= 0) return start + found;
    await new Promise((resume) => setTimeout(resume));
  }
}

if (form && globalThis.crypto?.subtle) {
  let solved = false;
  const work = solve(form.dataset.proof).then((number) => {
    form.elements.proof.value = String(number);
    solved = true;
  });
  form.addEventListener("submit", (event) => {
    if (solved) return;
    event.preventDefault();
    work.then(() => form.submit());
  }, { capture: true });
}
