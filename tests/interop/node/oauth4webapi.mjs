// oauth4webapi 3: the same with every step spelled out, a resource, and the access token checked as a resource server.
import { browse, options, refusal, report } from './talk.mjs'

const oauth = await import('oauth4webapi')
const { issuer, client_id, client_secret, redirect_uri, post_logout_redirect_uri, scope, pkce, resource, algorithm } = options

const insecure = issuer.startsWith('http:') ? { [oauth.allowInsecureRequests]: true } : {}
const identifier = new URL(issuer)
const as = {}
for (const kind of ['oidc', 'oauth2']) {
  const answer = await oauth.discoveryRequest(identifier, { algorithm: kind, ...insecure })
  Object.assign(as, await oauth.processDiscoveryResponse(identifier, answer))
}
const client = { client_id, id_token_signed_response_alg: algorithm }
const authentication = client_secret ? oauth.ClientSecretPost(client_secret) : oauth.None()

const verifier = pkce ? oauth.generateRandomCodeVerifier() : oauth.nopkce
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
const start = new URL(as.authorization_endpoint)
const parameters = { client_id, redirect_uri, response_type: 'code', scope, state, nonce, prompt: 'consent' }
if (pkce) {
  parameters.code_challenge = await oauth.calculatePKCECodeChallenge(verifier)
  parameters.code_challenge_method = 'S256'
}
for (const [name, value] of Object.entries(parameters)) start.searchParams.set(name, value)
const callback = await browse(start, redirect_uri)
const answered = oauth.validateAuthResponse(as, client, callback, state)

const codeResponse = await oauth.authorizationCodeGrantRequest(as, client, authentication, answered, redirect_uri, verifier, insecure)
const tokens = await oauth.processAuthorizationCodeResponse(as, client, codeResponse, { expectedNonce: nonce, requireIdToken: true })
await oauth.validateApplicationLevelSignature(as, codeResponse, insecure)
const claims = oauth.getValidatedIdTokenClaims(tokens)

const call = new Request(resource, { headers: { authorization: `Bearer ${tokens.access_token}` } })
// Scopes of one resource and openid: the token is for both; narrowed to the resource when refreshed, for that alone.
const access = await oauth.validateJwtAccessToken(as, call, resource, insecure)

const userinfoResponse = await oauth.userInfoRequest(as, client, tokens.access_token, insecure)
const userinfo = await oauth.processUserInfoResponse(as, client, claims.sub, userinfoResponse)

const refreshResponse = await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token, insecure)
const refreshed = await oauth.processRefreshTokenResponse(as, client, refreshResponse)

const narrowing = { additionalParameters: { resource }, ...insecure }
const narrowResponse = await oauth.refreshTokenGrantRequest(as, client, authentication, refreshed.refresh_token, narrowing)
const narrow = await oauth.processRefreshTokenResponse(as, client, narrowResponse)
const narrowCall = new Request(resource, { headers: { authorization: `Bearer ${narrow.access_token}` } })
const narrowAccess = await oauth.validateJwtAccessToken(as, narrowCall, resource, insecure)
const userinfoWithNarrow = (await oauth.userInfoRequest(as, client, narrow.access_token, insecure)).status

const revoked = await oauth.revocationRequest(as, client, authentication, narrow.refresh_token, insecure)
await oauth.processRevocationResponse(revoked)
const refreshAfterRevocation = await refusal((async () => {
  const response = await oauth.refreshTokenGrantRequest(as, client, authentication, narrow.refresh_token, insecure)
  await oauth.processRefreshTokenResponse(as, client, response)
})())
const userinfoAfterRevocation = (await oauth.userInfoRequest(as, client, refreshed.access_token, insecure)).status

const logout = new URL(as.end_session_endpoint)
logout.searchParams.set('id_token_hint', tokens.id_token)
logout.searchParams.set('post_logout_redirect_uri', post_logout_redirect_uri)
await browse(logout, post_logout_redirect_uri)

report({
  claims, access, narrowAccess, userinfoWithNarrow, userinfo, scope: tokens.scope, refreshAfterRevocation, userinfoAfterRevocation,
  rotated: refreshed.refresh_token !== tokens.refresh_token, iss: callback.searchParams.get('iss'),
})
