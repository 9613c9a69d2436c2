// Waits for steps that run at the same time.

type Values<Steps extends readonly Promise<unknown>[]> = { -readonly [Step in keyof Steps]: Awaited<Steps[Step]> };

/**
 * The values of all steps. Unlike `Promise.all()` it returns only when every step has ended, so no step outlives what
 * it works in. Errors: that of the step that failed first, because the failures after it may be its consequences.
 */
export async function allOf<Steps extends readonly Promise<unknown>[]>(...steps: Steps): Promise<Values<Steps>> {
  try {
    return await Promise.all(steps);
  } finally {
    await Promise.allSettled(steps);
  }
}
