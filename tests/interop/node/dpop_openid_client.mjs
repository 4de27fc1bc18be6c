// openid-client 6 with DPoP: it answers nonce challenges itself.
import { browse, options, report } from './talk.mjs'

const client = await import('openid-client')
const { issuer, client_id, client_secret, redirect_uri, scope } = options

const config = await client.discovery(
  new URL(issuer), client_id, undefined, client.ClientSecretBasic(client_secret),
  { execute: issuer.startsWith('http:') ? [client.allowInsecureRequests] : [] },
)
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
const verifier = client.randomPKCECodeVerifier()
const expectedState = client.randomState()
const parameters = {
  redirect_uri, scope, state: expectedState, prompt: 'consent',
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
}
const callback = await browse(client.buildAuthorizationUrl(config, parameters), redirect_uri)
const tokens = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier, expectedState }, undefined, { DPoP })
const userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })
const endpoint = config.serverMetadata().userinfo_endpoint
const asBearer = (await fetch(endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } })).status
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })

report({ tokenType: tokens.token_type, userinfo, asBearer, refreshedType: refreshed.token_type })
