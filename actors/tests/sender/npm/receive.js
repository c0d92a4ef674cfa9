// A browser's and a push service's side, by other people's code: decrypts messages and verifies VAPID headers.
// Reads a JSON list from its input and writes one.
'use strict'
const crypto = require('node:crypto')
const ece = require('http_ece')
const jwt = require('jsonwebtoken')

function decrypt({ private: secret, auth, body }) {
  const receiver = crypto.createECDH('prime256v1')
  receiver.setPrivateKey(Buffer.from(secret, 'base64url'))
  return ece.decrypt(Buffer.from(body, 'base64'), { version: 'aes128gcm', privateKey: receiver, authSecret: auth })
}

function verify({ authorization, audience, subject }) {
  const [, token, key] = /^vapid t=([^,\s]+), ?k=([\w-]+)$/.exec(authorization)
  const point = Buffer.from(key, 'base64url')
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map(part => part.toString('base64url'))
  const publicKey = crypto.createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' })
  const { exp } = jwt.verify(token, publicKey, { algorithms: ['ES256'], audience, subject })
  return { key, lifetime: exp - Math.floor(Date.now() / 1000) }
}

const messages = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
const answers = messages.map(message => {
  try {
    const claims = message.authorization ? verify(message) : {}
    return { plaintext: decrypt(message).toString('base64'), ...claims }
  } catch (error) {
    return { error: String(error.message) }
  }
})
process.stdout.write(JSON.stringify(answers))
