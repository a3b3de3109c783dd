// Shows what has changed every few seconds, without a jump of the page.
const EVERY_MS = 3000;

async function refresh() {
  if (!document.hidden) {
    try {
      const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
      const [now, old] = [page.querySelector("main"), document.querySelector("main")];
      if (now && now.innerHTML !== old.innerHTML) old.replaceWith(now);
    } catch {
      // The board is off: what is shown stays until it is back.
    }
  }
  setTimeout(refresh, EVERY_MS);
}

setTimeout(refresh, EVERY_MS);
