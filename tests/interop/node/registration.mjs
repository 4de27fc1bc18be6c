// openid-client 6 and oauth4webapi 3 register themselves with an initial access token, sign somebody in, and go again.
import { browse, options, refusal, report } from './talk.mjs'

const client = await import('openid-client')
const oauth = await import('oauth4webapi')
const { issuer, initial_token, redirect_uri, scope } = options

const insecure = issuer.startsWith('http:')
const execute = insecure ? [client.allowInsecureRequests] : []
const metadata = {
  client_name: 'A library', redirect_uris: [redirect_uri], grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'client_secret_basic', scope,
}
const config = await client.dynamicClientRegistration(
  new URL(issuer), metadata, client.ClientSecretBasic(), { initialAccessToken: initial_token, execute },
)
const told = config.clientMetadata()
client.enableNonRepudiationChecks(config)
const without = await refusal(client.dynamicClientRegistration(new URL(issuer), metadata, undefined, { execute }))
const spent = await refusal(client.dynamicClientRegistration(
  new URL(issuer), metadata, undefined, { initialAccessToken: options.spent_token, execute },
))

const verifier = client.randomPKCECodeVerifier()
const checks = { pkceCodeVerifier: verifier, expectedState: client.randomState(), idTokenExpected: true }
const callback = await browse(client.buildAuthorizationUrl(config, {
  redirect_uri, scope, state: checks.expectedState, prompt: 'consent', code_challenge_method: 'S256',
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
}), redirect_uri)
const tokens = await client.authorizationCodeGrant(config, callback, checks)
const userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)

const headers = { authorization: `Bearer ${told.registration_access_token}` }
const read = await fetch(told.registration_client_uri, { headers }).then((response) => response.json())
const deleted = await fetch(told.registration_client_uri, { method: 'DELETE', headers })
// The process that answers next may be another one, which learns of it within half a second.
await new Promise((resolve) => setTimeout(resolve, 1500))
const afterwards = await refusal(client.refreshTokenGrant(config, refreshed.refresh_token))

const http = { [oauth.allowInsecureRequests]: insecure }
const as = await oauth
  .discoveryRequest(new URL(issuer), http)
  .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response))
const second = await oauth
  .dynamicClientRegistrationRequest(as, { redirect_uris: [redirect_uri] }, {
    ...http, initialAccessToken: options.second_token,
  })
  .then(oauth.processDynamicClientRegistrationResponse)

report({
  told, without, spent, claims: tokens.claims(), userinfo, read, deleted: deleted.status, afterwards,
  second: second.client_id, secretExpires: second.client_secret_expires_at,
})
