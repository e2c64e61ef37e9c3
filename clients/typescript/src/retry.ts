// When to try again.

/** Shortest range, in milliseconds, out of which the first wait is drawn. */
export const BASE = 500;
/** Longest wait between two tries. */
export const LONGEST = 30_000;

/** Full jitter: anything between nothing and a bound that doubles, so that clients that fell together do not come back together. */
export function jitter(attempt: number, base = BASE, longest = LONGEST): number {
  return Math.random() * Math.min(longest, base * 2 ** Math.min(attempt, 16));
}

/** Waits, unless `signal` says to stop: then it throws why. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
