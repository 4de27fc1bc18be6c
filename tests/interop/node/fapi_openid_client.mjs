// openid-client 6 as a bank's client: private_key_jwt, pushed requests, DPoP; signed requests and answers where the
// profile wants them; and the issuer in the answer (RFC 9207), without which or with another's it goes no further.
import { browse, options, refusal, report } from './talk.mjs'

const client = await import('openid-client')
const { issuer, client_id, key, redirect_uri, scope, signing } = options

const privateKey = await crypto.subtle.importKey('jwk', key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const own = { key: privateKey, kid: key.kid }
const config = await client.discovery(new URL(issuer), client_id, { id_token_signed_response_alg: 'ES256' }, client.PrivateKeyJwt(own))
if (signing) client.useJwtResponseMode(config)
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))

const verifier = client.randomPKCECodeVerifier()
const expectedState = client.randomState()
const expectedNonce = client.randomNonce()
let parameters = new URLSearchParams({
  redirect_uri, scope, state: expectedState, nonce: expectedNonce, prompt: 'consent',
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})
if (signing) parameters = (await client.buildAuthorizationUrlWithJAR(config, parameters, own)).searchParams
const start = await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
const callback = await browse(start, redirect_uri)

const checks = { pkceCodeVerifier: verifier, expectedState, expectedNonce, idTokenExpected: true }
const mixedUp = {}
if (!signing) {
  for (const [name, change] of Object.entries({
    another: (url) => url.searchParams.set('iss', 'https://other.example'),
    none: (url) => url.searchParams.delete('iss'),
  })) {
    const url = new URL(callback)
    change(url)
    mixedUp[name] = await refusal(client.authorizationCodeGrant(config, url, checks, undefined, { DPoP }))
  }
}
const tokens = await client.authorizationCodeGrant(config, callback, checks, undefined, { DPoP })
const userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })

report({
  sent: [...start.searchParams.keys()].sort(), arrived: [...callback.searchParams.keys()].sort(), mixedUp, userinfo,
  tokenType: tokens.token_type, refreshedType: refreshed.token_type,
})
