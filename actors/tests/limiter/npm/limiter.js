// Carries out what it reads, one JSON text a line, on rate-limiter-flexible's Redis limiters, and answers with one line each.
//   node limiter.js PORT DATABASE NAMES     NAMES: {"<keyPrefix>": {"points", "duration", "blockDuration"}, …}, in seconds
'use strict'
const readline = require('readline')
const Redis = require('ioredis')
const { RateLimiterRedis } = require('rate-limiter-flexible')

const [port, db, names] = process.argv.slice(2)
const storeClient = new Redis({ host: '127.0.0.1', port: Number(port), db: Number(db) })
const limiters = {}
for (const [keyPrefix, options] of Object.entries(JSON.parse(names))) {
  limiters[keyPrefix] = new RateLimiterRedis({ storeClient, keyPrefix, ...options })
}

const state = (rejected, result) => ({
  rejected,
  consumed: result ? result.consumedPoints : null,
  left: result ? result.msBeforeNext : null
})

const operations = {
  consume: (limiter, key) => limiter.consume(key).then(
    result => state(false, result),
    result => {
      if (result instanceof Error) throw result
      return state(true, result)
    }),
  reward: (limiter, key) => limiter.reward(key).then(result => state(false, result)),
  delete: (limiter, key) => limiter.delete(key).then(() => state(false, null)),
  get: (limiter, key) => limiter.get(key).then(result => state(false, result))
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { operation, limiter, key } = JSON.parse(line)
    console.log(JSON.stringify(await operations[operation](limiters[limiter], key)))
  }
  storeClient.disconnect()
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
