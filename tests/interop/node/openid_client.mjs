// openid-client 6: discovery, code + PKCE, refresh, introspection, revocation, logout; it verifies the tokens itself.
import { browse, options, refusal, report } from './talk.mjs'

const client = await import('openid-client')
const { issuer, client_id, client_secret, redirect_uri, post_logout_redirect_uri, scope, pkce } = options

const config = await client.discovery(
  new URL(issuer), client_id, undefined, client.ClientSecretBasic(client_secret),
  { execute: issuer.startsWith('http:') ? [client.allowInsecureRequests] : [] },
)
client.enableNonRepudiationChecks(config) // verify signatures even of what came straight from the token endpoint

const verifier = pkce ? client.randomPKCECodeVerifier() : undefined
const expectedState = client.randomState()
const expectedNonce = client.randomNonce()
const parameters = { redirect_uri, scope, state: expectedState, nonce: expectedNonce, prompt: 'consent' }
if (pkce) {
  parameters.code_challenge = await client.calculatePKCECodeChallenge(verifier)
  parameters.code_challenge_method = 'S256'
}
const callback = await browse(client.buildAuthorizationUrl(config, parameters), redirect_uri)
const checks = { pkceCodeVerifier: verifier, expectedState, expectedNonce, idTokenExpected: true }
const tokens = await client.authorizationCodeGrant(config, callback, checks)
const claims = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub)

const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const before = await client.tokenIntrospection(config, refreshed.access_token)
await client.tokenRevocation(config, refreshed.refresh_token)
const after = await client.tokenIntrospection(config, refreshed.access_token)
const refreshAfterRevocation = await refusal(client.refreshTokenGrant(config, refreshed.refresh_token))

const state = client.randomState()
const logout = client.buildEndSessionUrl(config, { post_logout_redirect_uri, id_token_hint: tokens.id_token, state })
const loggedOut = await browse(logout, post_logout_redirect_uri)

// A code is good once. A fresh one, for the revoked grant is gone; the session is gone too, so the person signs in again.
const second = { redirect_uri, scope, state: expectedState, nonce: expectedNonce }
if (pkce) Object.assign(second, { code_challenge: parameters.code_challenge, code_challenge_method: 'S256' })
const again = await browse(client.buildAuthorizationUrl(config, second), redirect_uri)
await client.authorizationCodeGrant(config, again, checks)
const replay = await refusal(client.authorizationCodeGrant(config, again, checks))

report({
  claims, userinfo, scope: tokens.scope, rotated: refreshed.refresh_token !== tokens.refresh_token,
  activeBefore: before.active, activeAfter: after.active, refreshAfterRevocation, replay,
  logoutState: loggedOut.searchParams.get('state') === state, iss: callback.searchParams.get('iss'),
})
