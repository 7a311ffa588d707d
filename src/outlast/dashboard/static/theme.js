// Where the reader's clock stands and which theme was chosen, before anything is drawn.
(() => {
  const base = document.currentScript.src.replace(/static\/[^/]*$/, "");
  const path = new URL(base).pathname;
  const keep = (name, value) => { document.cookie = `${name}=${value}; path=${path}; max-age=31536000; samesite=lax`; };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) keep("outlast_zone", zone);
  window.outlast = { keep };
})();
