// Sends messages with npm's `web-push`, over connections that are used again: what benches/push measures Gom beside.
// web_push.js BASE COUNT AT_ONCE SUBJECT PUBLIC_KEY PRIVATE_KEY P256DH AUTH PAYLOAD; prints seconds and the µs of processor time of each.
'use strict'
const https = require('node:https')
const webPush = require('web-push')

const [base, count, atOnce, subject, publicKey, privateKey, p256dh, auth, payload] = process.argv.slice(2)
const agent = new https.Agent({ keepAlive: true, maxSockets: Number(atOnce) })
const vapidDetails = { subject, publicKey, privateKey }

async function send(from, to) {
  let next = from
  const worker = async () => {
    while (next < to) {
      const subscription = { endpoint: `${base}/push/npm-${next++}`, keys: { p256dh, auth } }
      await webPush.sendNotification(subscription, payload, { agent, vapidDetails, TTL: 86400, urgency: 'normal' })
    }
  }
  await Promise.all(Array.from({ length: Number(atOnce) }, worker))
}

async function main() {
  // Connections and compiled code are there before the clock starts, as they are in a server.
  await send(0, 500)
  const [began, before] = [process.hrtime.bigint(), process.cpuUsage()]
  await send(500, 500 + Number(count))
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  const { user, system } = process.cpuUsage(before)
  console.log(seconds, (user + system) / Number(count))
  agent.destroy()
}

main()
