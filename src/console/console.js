// Keeps the content of the page up to date. Without it everything else works.
"use strict";
(() => {
  const main = document.getElementById("main");
  const button = document.getElementById("live");
  const news = document.getElementById("news");
  const path = main.dataset.live;

  // The server knows UTC only. What it wrote stays, and the local time is added where it differs.
  const localise = () => {
    for (const time of main.querySelectorAll("time.clock")) {
      const at = new Date(time.dateTime);
      if (at.getTimezoneOffset() === 0) continue;
      const local = document.createElement("span");
      local.className = "local";
      local.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
      time.append(local);
    }
  };

  // Only pages of this machine or behind TLS may write to the clipboard; elsewhere a click selects the whole SID.
  const offerCopies = () => {
    if (!navigator.clipboard) return;
    for (const sid of main.querySelectorAll("[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy " + sid.dataset.copy);
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(sid.dataset.copy);
        button.textContent = "Copied";
        news.textContent = "Copied";
      });
      sid.after(button);
    }
  };

  const enhance = () => {
    localise();
    offerCopies();
  };

  enhance();
  if (!path || !window.EventSource) return;

  let source = null;
  let waiting = null;

  // Whoever selects text to copy it must not lose it.
  const isBusy = () => {
    const selection = document.getSelection();
    return !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  const show = (content) => {
    waiting = null;
    const focused = main.contains(document.activeElement) ? document.activeElement.id : "";
    const places = [...main.querySelectorAll("[data-keep-scroll]")].map((box) => [box.id, box.scrollLeft]);
    main.innerHTML = content;
    enhance();
    for (const [id, left] of places) {
      const box = document.getElementById(id);
      if (box) box.scrollLeft = left;
    }
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    main.dataset.updates = Number(main.dataset.updates || 0) + 1;
  };

  const say = (text, pressed) => {
    button.textContent = text;
    button.setAttribute("aria-pressed", String(pressed));
    button.title = pressed ? "The page follows what happens: press to pause" : "The page stands still: press to follow";
    news.textContent = text;
  };

  const follow = () => {
    source = new EventSource(path);
    source.onopen = () => say("Live", true);
    source.onmessage = (message) => (isBusy() ? (waiting = message.data) : show(message.data));
    source.onerror = () => say(source.readyState === EventSource.CLOSED ? "Not live" : "Connecting…", true);
  };

  const pause = () => {
    source.close();
    source = null;
    say("Paused", false);
  };

  document.addEventListener("selectionchange", () => {
    if (waiting !== null && !isBusy()) show(waiting);
  });
  button.addEventListener("click", () => (source ? pause() : follow()));
  button.hidden = false;
  follow();
})();
