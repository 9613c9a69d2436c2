// The version of the database: a number that every commit changes, read for each request.

/**
 * Shares looks: a caller gets the result of a look that began after its call, and callers that wait share one. So a
 * request sees each commit that was acknowledged before it arrived, by any server.
 */
export function shareLooks<T>(look: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;

  const start = (): Promise<T> => {
    const started = look().finally(() => {
      if (running === started) running = undefined;
    });
    running = started;
    return started;
  };
  return () => {
    if (!running) return start();
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = undefined;
        return start();
      });
    return next;
  };
}
