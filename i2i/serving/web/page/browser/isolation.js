// A service worker that adds the headers under which browsers give a page threads, for hosts that cannot send them.
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  if (isOfPage(event.request.url)) event.respondWith(withHeaders(event.request));
});

/** True for the page and its scripts. Other pages of the host may show files of other hosts, which the headers forbid. */
function isOfPage(url) {
  const { origin, pathname } = new URL(url), place = new URL(registration.scope);
  if (origin !== place.origin || !pathname.startsWith(place.pathname)) return false;
  return /^(index\.html$|page\/|ort\/|$)/.test(pathname.slice(place.pathname.length));
}

async function withHeaders(request) {
  const answer = await fetch(request);
  if (answer.status === 0) return answer;  // a redirection, which the browser follows
  const headers = new Headers(answer.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}
