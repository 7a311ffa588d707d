// What the pages do beyond links and forms: the theme, the pulse of what is live, and keys.
(() => {
  const root = document.documentElement;

  // ---- theme
  const theme = document.getElementById("theme");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    window.outlast.keep("outlast_theme", root.dataset.theme);
    showTheme();
  });
  theme.hidden = false;
  showTheme();

  // ---- the pulse: nothing is asked for while nobody looks, or while the reader has stopped it
  const pulse = document.getElementById("pulse");
  const word = pulse.querySelector("[data-pulse-word]");
  let isStopped = false;
  const showPulse = (text) => { word.textContent = text; pulse.setAttribute("aria-pressed", String(!isStopped)); };
  pulse.addEventListener("click", () => {
    isStopped = !isStopped;
    showPulse(isStopped ? "Paused" : "Live");
  });
  pulse.hidden = !document.querySelector("#live[hx-get]");
  document.addEventListener("htmx:config:request", (event) => {
    const source = event.target;
    if (source.id === "live" && (isStopped || document.hidden || isBusy(source))) event.preventDefault();
  });
  document.addEventListener("htmx:error", () => showPulse("No answer"));
  document.addEventListener("htmx:response:error", () => showPulse("No answer"));
  document.addEventListener("htmx:after:swap", () => { if (!isStopped) showPulse("Live"); });

  // A field that is being filled in, or text that is being marked, is not changed under the reader's hands.
  function isBusy(live) {
    const at = document.activeElement;
    if (at && live.contains(at) && at.matches("input, select, textarea")) return true;
    const marked = getSelection();
    return Boolean(marked && !marked.isCollapsed && live.contains(marked.anchorNode));
  }

  // ---- keys: g and a letter go to a page, / to the search, j and k through a list
  const pages = { o: "", j: "jobs", t: "tasks", f: "failures" };
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (isGoing && event.key in pages) location.href = document.body.dataset.base + pages[event.key];
    else if (event.key === "/") focusOn(event, document.querySelector("[data-search]"));
    else if (event.key === "j" || event.key === "k") step(event, event.key === "j" ? 1 : -1);
    isGoing = event.key === "g";
  });

  function step(event, by) {
    const links = [...document.querySelectorAll("a.whole")];
    const at = links.indexOf(document.activeElement);
    focusOn(event, links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)]);
  }

  function focusOn(event, element) {
    if (!element) return;
    event.preventDefault();
    element.focus();
  }
})();
