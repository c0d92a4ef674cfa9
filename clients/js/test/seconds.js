// The packages wait a second before they close or read again. Here these seconds pass when the test says so, however slow the machine is.
import { until } from "./place.js";

const real = { set: globalThis.setTimeout, clear: globalThis.clearTimeout };
const timers = new Map();

globalThis.setTimeout = (task, delay, ...values) => {
  if (delay !== 1_000) return real.set(task, delay, ...values);
  const timer = { unref: () => timer, ref: () => timer };
  timers.set(timer, () => task(...values));
  return timer;
};
globalThis.clearTimeout = (timer) => {
  if (!timers.delete(timer)) real.clear(timer);
};

/** Lets each second end that runs now. */
export function passSecond() {
  const ended = [...timers.values()];
  timers.clear();
  for (const task of ended) task();
}

/** Waits until `condition` gives something, while seconds pass. */
export const seconds = (condition, show) =>
  until(() => {
    passSecond();
    return condition();
  }, show);
