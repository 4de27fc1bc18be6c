// Small comforts. Every page works without this file.

for (const button of document.querySelectorAll("[data-reveals]")) {
  const field = document.getElementById(button.dataset.reveals);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    // The word one sees; which field is meant stays behind it.
    button.firstChild.data = shown ? button.dataset.show : button.dataset.hide;
  });
  field.form.addEventListener("submit", () => { field.type = "password"; });
}

// A second click would be answered with "expired": the first one already used the request up.
const once = document.querySelectorAll("form[data-once]");
for (const form of once) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    event.submitter?.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", () => {
  for (const form of once) {
    delete form.dataset.sent;
    form.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
  }
});

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// Not there without HTTPS, nor in every browser.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copies]") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).innerText);
    button.textContent = button.dataset.done;
  });
}

// Instants as the clock on the wall says them; the page's own words, in UTC, on hover.
const { lang } = document.documentElement;
const written = { year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit" };
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.textContent;
  time.textContent = new Date(time.dateTime).toLocaleString(lang, written);
}

// A menu closes as menus do.
for (const menu of document.querySelectorAll("details.switcher")) {
  addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// On phones the row of pages scrolls: begin at this one.
document.querySelector(".rail [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Applications sign out in frames of this page; then on, whether or not all of them answered.
const onward = document.querySelector("a[data-onward]");
if (onward) {
  const go = () => location.replace(onward.href);
  addEventListener("load", go);
  setTimeout(go, 4000);
}
