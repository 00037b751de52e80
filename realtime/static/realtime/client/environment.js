/**
 * Calls `wake` when the network or the page comes back and `offline` when the network goes.
 * @returns {() => void} takes the listeners away again
 */
export const watch = (scope, { wake, offline }) => {
  const page = scope.document;
  const shown = () => page.visibilityState === "visible" && wake();
  const heard = [
    [scope, "online", wake],
    [scope, "offline", offline],
    [scope, "pageshow", (event) => event.persisted && wake()],
    [page, "visibilitychange", shown],
  ].filter(([target]) => target?.addEventListener);
  for (const [target, name, run] of heard) target.addEventListener(name, run);
  return () => {
    for (const [target, name, run] of heard) target.removeEventListener(name, run);
  };
};
