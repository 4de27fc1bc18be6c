// oauth4webapi 3 as a bank's client, every step spelled out: private_key_jwt, PAR, DPoP, JAR and JARM where the profile
// wants them, RFC 9207 else.
import { browse, options, refusal, report } from './talk.mjs'

const oauth = await import('oauth4webapi')
const { issuer, client_id, key, redirect_uri, scope, signing } = options

const identifier = new URL(issuer)
const as = await oauth.processDiscoveryResponse(identifier, await oauth.discoveryRequest(identifier))
const client = {
  client_id, id_token_signed_response_alg: 'ES256', authorization_signed_response_alg: 'ES256',
}
const own = {
  key: await crypto.subtle.importKey('jwk', key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']), kid: key.kid,
}
const authentication = oauth.PrivateKeyJwt(own)
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))

const again = async (ask) => {
  try {
    return await ask()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return ask()
  }
}

const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
const parameters = new URLSearchParams({
  client_id, redirect_uri, response_type: 'code', scope, state, nonce, prompt: 'consent',
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})
if (signing) {
  parameters.set('response_mode', 'jwt')
}
const { request_uri } = await again(async () => {
  // A request object is pushed once: each try has one of its own.
  const asked = signing
    ? new URLSearchParams({ client_id, request: await oauth.issueRequestObject(as, client, parameters, own) })
    : parameters
  const pushed = await oauth.pushedAuthorizationRequest(as, client, authentication, asked, { DPoP })
  return oauth.processPushedAuthorizationResponse(as, client, pushed)
})
const start = new URL(as.authorization_endpoint)
start.searchParams.set('client_id', client_id)
start.searchParams.set('request_uri', request_uri)
const callback = await browse(start, redirect_uri)

const mixedUp = {}
if (!signing) {
  for (const [name, change] of Object.entries({
    another: (url) => url.searchParams.set('iss', 'https://other.example'),
    none: (url) => url.searchParams.delete('iss'),
  })) {
    const url = new URL(callback)
    change(url)
    mixedUp[name] = await refusal((async () => oauth.validateAuthResponse(as, client, url, state))())
  }
}
const answered = signing
  ? await oauth.validateJwtAuthResponse(as, client, callback, state)
  : oauth.validateAuthResponse(as, client, callback, state)
const codeResponse = await oauth.authorizationCodeGrantRequest(as, client, authentication, answered, redirect_uri, verifier, { DPoP })
const tokens = await oauth.processAuthorizationCodeResponse(as, client, codeResponse, { expectedNonce: nonce, requireIdToken: true })
await oauth.validateApplicationLevelSignature(as, codeResponse)
const { sub } = oauth.getValidatedIdTokenClaims(tokens)
const userinfo = await again(async () => {
  const response = await oauth.userInfoRequest(as, client, tokens.access_token, { DPoP })
  return oauth.processUserInfoResponse(as, client, sub, response)
})
const refreshResponse = await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token, { DPoP })
const refreshed = await oauth.processRefreshTokenResponse(as, client, refreshResponse)

report({
  sent: [...start.searchParams.keys()].sort(), arrived: [...callback.searchParams.keys()].sort(), mixedUp, userinfo,
  tokenType: tokens.token_type, refreshedType: refreshed.token_type,
})
