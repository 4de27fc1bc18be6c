// openid-client 6 with a client certificate: endpoints by their aliases, pushed requests, bound tokens. Node's own fetch
// shows no certificates, so the library is given one that does.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { browse, options, refusal, report } from './talk.mjs'

const client = await import('openid-client')
const { issuer, client_id, redirect_uri, scope, certificate, key, authority } = options

const over = (tls) => (url, { body, headers, method }) => new Promise((resolve, reject) => {
  const sent = request(url, { method, headers, ca: readFileSync(authority), agent: false, ...tls }, (answer) => {
    const parts = []
    answer.on('data', (part) => parts.push(part))
    answer.on('end', () => resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers })))
  })
  sent.on('error', reject)
  sent.end(body?.toString())
})

const metadata = { use_mtls_endpoint_aliases: true }
const config = await client.discovery(new URL(issuer), client_id, metadata, client.TlsClientAuth())
config[client.customFetch] = over({ cert: readFileSync(certificate), key: readFileSync(key) })

const verifier = client.randomPKCECodeVerifier()
const expectedState = client.randomState()
const start = await client.buildAuthorizationUrlWithPAR(config, {
  redirect_uri, scope, state: expectedState, prompt: 'consent',
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})
const callback = await browse(start, redirect_uri)
const tokens = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier, expectedState })
const userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
const { cnf } = await client.tokenIntrospection(config, tokens.access_token)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)

const bare = await client.discovery(new URL(issuer), client_id, {}, client.TlsClientAuth())
const withoutCertificate = await refusal(client.refreshTokenGrant(bare, tokens.refresh_token))

report({ userinfo, cnf, withoutCertificate, refreshed: refreshed.access_token !== tokens.access_token })
