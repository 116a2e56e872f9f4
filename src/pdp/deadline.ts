/** Thrown where code of a use case, or a look-up for it, has not settled in time. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** The value of `work`, or a `DeadlineError` after `ms` of the process's own time. What comes later is dropped, failures too. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new DeadlineError(`not settled within ${ms} ms`));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
