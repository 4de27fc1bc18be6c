// Passkeys: asks the browser for one, or to make one, and sends the answer with the form around the button.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function prepared(options) {
  const credentials = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
  const found = { ...options, challenge: bytes(options.challenge) };
  if (options.user) found.user = { ...options.user, id: bytes(options.user.id) };
  if (options.allowCredentials) found.allowCredentials = credentials(options.allowCredentials);
  if (options.excludeCredentials) found.excludeCredentials = credentials(options.excludeCredentials);
  return found;
}

function written(credential) {
  const from = credential.response;
  const response = { clientDataJSON: text(from.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (from[name]) response[name] = text(from[name]);
  }
  if (from.getTransports) response.transports = from.getTransports();
  const { id, type, authenticatorAttachment } = credential;
  return JSON.stringify({ id, rawId: text(credential.rawId), type, authenticatorAttachment, response });
}

async function ask(form, more) {
  const publicKey = prepared(JSON.parse(form.dataset.passkey));
  const container = navigator.credentials;
  const found = await (publicKey.user ? container.create({ publicKey }) : container.get({ publicKey, ...more }));
  form.elements.credential.value = written(found);
  form.requestSubmit();
}

const all = (selector) => (window.PublicKeyCredential ? document.querySelectorAll(selector) : []);

for (const missing of all("[data-passkey-missing]")) missing.hidden = true;
for (const choice of all("[data-passkey-choice]")) choice.hidden = false;

for (const form of all("form[data-passkey]")) {
  const button = form.querySelector("[data-passkey-button]");
  const trouble = form.querySelector("[data-passkey-trouble]");
  const known = form.querySelector("[data-passkey-known]");
  // Whoever closed the browser's own window need not be told.
  const said = ({ name }) => (name === "NotAllowedError" ? null : name === "InvalidStateError" ? known || trouble : trouble);
  button.hidden = false;
  let waiting = null;
  const autofill = async () => {
    if (!form.hasAttribute("data-autofill") || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    waiting = new AbortController();
    ask(form, { mediation: "conditional", signal: waiting.signal }).catch(() => {});
  };
  button.addEventListener("click", async () => {
    waiting?.abort();
    for (const one of form.querySelectorAll("[data-passkey-trouble], [data-passkey-known]")) one.hidden = true;
    button.disabled = true;
    try {
      await ask(form, {});
    } catch (error) {
      said(error)?.removeAttribute("hidden");
      autofill();
    } finally {
      button.disabled = false;
    }
  });
  autofill();
}

// Tells whoever keeps the passkeys which of them are good, where the browser can: what is gone here is not offered again.
const SIGNALS = ["signalAllAcceptedCredentials", "signalCurrentUserDetails", "signalUnknownCredential"];
for (const { dataset } of all("[data-passkey-signals]")) {
  const told = JSON.parse(dataset.passkeySignals);
  for (const name of SIGNALS) if (told[name]) PublicKeyCredential[name]?.(told[name]).catch(() => {});
}
