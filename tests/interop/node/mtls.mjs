// oauth4webapi 3 with a client certificate: endpoints by their aliases, bound tokens. Node's own fetch shows no
// certificates, so the library is given one that does.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { browse, options, report } from './talk.mjs'

const oauth = await import('oauth4webapi')
const { issuer, client_id, redirect_uri, scope, certificate, key, authority } = options
const credentials = { cert: readFileSync(certificate), key: readFileSync(key) }

const over = (tls) => (url, { body, headers, method }) => new Promise((resolve, reject) => {
  const sent = request(url, { method, headers, ca: readFileSync(authority), agent: false, ...tls }, (answer) => {
    const parts = []
    answer.on('data', (part) => parts.push(part))
    answer.on('end', () => resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers })))
  })
  sent.on('error', reject)
  sent.end(body?.toString())
})
const shown = { [oauth.customFetch]: over(credentials) }

const identifier = new URL(issuer)
const as = await oauth.processDiscoveryResponse(identifier, await oauth.discoveryRequest(identifier))
const client = { client_id, use_mtls_endpoint_aliases: true }
const authentication = oauth.TlsClientAuth()

const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const start = new URL(as.authorization_endpoint)
const parameters = {
  client_id, redirect_uri, response_type: 'code', scope, state, prompt: 'consent',
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
}
for (const [name, value] of Object.entries(parameters)) start.searchParams.set(name, value)
const answered = oauth.validateAuthResponse(as, client, await browse(start, redirect_uri), state)
const codeResponse = await oauth.authorizationCodeGrantRequest(as, client, authentication, answered, redirect_uri, verifier, shown)
const tokens = await oauth.processAuthorizationCodeResponse(as, client, codeResponse)
const claims = oauth.getValidatedIdTokenClaims(tokens)

const infoResponse = await oauth.userInfoRequest(as, client, tokens.access_token, shown)
const userinfo = await oauth.processUserInfoResponse(as, client, claims.sub, infoResponse)
const withoutCertificate = (await oauth.userInfoRequest(as, { client_id }, tokens.access_token)).status

const introspected = await oauth.introspectionRequest(as, client, authentication, tokens.access_token, shown)
const { cnf } = await oauth.processIntrospectionResponse(as, client, introspected)

const refreshResponse = await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token, shown)
const refreshed = await oauth.processRefreshTokenResponse(as, client, refreshResponse)

report({ userinfo, cnf, withoutCertificate, refreshed: refreshed.access_token !== tokens.access_token })
