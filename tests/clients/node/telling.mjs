// Run the steps of a client's session one after the other, and tell how each of them went.
//
// Belongs here: the running, and what every session needs of its environment. Not here: any client.

export function given(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; crm-sync emulate --env prints it`);
  return value;
}

/** Return the address of one person of this session; no other session has it. */
export const email = (who) => `${who}@${given('SESSION')}.example.com`;

/** Return the name of the field that this session alone uses as its key. */
export const key = () => `${given('SESSION').replaceAll('-', '_')}_key`;

/** Return what a refused call threw. Throws where it was not refused. */
export async function refused(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error('this was expected to be refused, and was not');
}

/** Run steps in order, telling each as one JSON line {"step", "error"}; a failed one does not stop the others. */
export async function run(...steps) {
  for (const step of steps) {
    let error = null;
    try {
      await step();
    } catch (thrown) {
      error = String(thrown?.stack ?? thrown);
      process.exitCode = 1;
    }
    console.log(JSON.stringify({ step: step.name, error }));
  }
}
