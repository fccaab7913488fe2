// Runs before everything else of the console. Browsers give up what is on its way when the network
// changes (another WLAN, a VPN): a page that lost its style or a script that way is asked for again.
(() => {
  const TRIES_MAX = 3;
  const PAUSE_MS = 400;
  const tries = Number(history.state?.lost ?? 0);
  let isLost = false;
  const onError = ({ target }) => {
    if (!(target instanceof HTMLScriptElement || target instanceof HTMLLinkElement)) return;
    if (isLost || tries >= TRIES_MAX) return;
    isLost = true;
    // The state of the entry is kept when the page is loaded anew.
    history.replaceState({ ...history.state, lost: tries + 1 }, '');
    setTimeout(() => location.reload(), PAUSE_MS * (tries + 1));
  };
  addEventListener('error', onError, true);
  addEventListener('load', () => {
    removeEventListener('error', onError, true);
    if (!isLost && tries > 0) history.replaceState({ ...history.state, lost: undefined }, '');
  });
})();
