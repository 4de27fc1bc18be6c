// How the scripts here talk to the test that started them: one JSON object per line, a question and its answer.
import { createInterface } from 'node:readline'
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto // Node 18

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export const options = JSON.parse((await answers.next()).value)

export async function browse(url, until) {
  process.stdout.write(JSON.stringify({ browse: url.toString(), until }) + '\n')
  return new URL(JSON.parse((await answers.next()).value).arrived)
}

export function report(found) {
  process.stdout.write(JSON.stringify({ report: found }) + '\n')
  process.exit(0)
}

export async function refusal(promise) {
  try {
    await promise
  } catch (error) {
    return error.error ?? error.cause?.error ?? error.code ?? String(error)
  }
  return 'accepted'
}
