// Follows logs by server-sent events. All else on these pages works without a script.
"use strict";

const MOST_LINES = 5000;

for (const log of document.querySelectorAll("[data-events]")) {
  const state = document.getElementById(log.dataset.state);
  const source = new EventSource(log.dataset.events);
  source.addEventListener("open", () => { state.textContent = "New lines are shown as they come."; });
  source.addEventListener("error", () => { state.textContent = "The connection is lost, and tried again."; });
  source.addEventListener("end", () => {
    source.close();
    state.textContent = "The attempt has ended.";
  });
  source.addEventListener("message", (event) => {
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    // Text nodes, never markup.
    for (const line of JSON.parse(event.data)) { log.append(`${line}\n`); }
    while (log.childNodes.length > MOST_LINES) { log.firstChild.remove(); }
    if (isAtEnd) { log.scrollTop = log.scrollHeight; }
  });
}
