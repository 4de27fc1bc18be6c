// oauth4webapi 3 with DPoP: nonces, a bound token at UserInfo, the same token as Bearer, refresh with the key.
import { browse, options, report } from './talk.mjs'

const oauth = await import('oauth4webapi')
const { issuer, client_id, client_secret, redirect_uri, scope } = options

const insecure = issuer.startsWith('http:') ? { [oauth.allowInsecureRequests]: true } : {}
const identifier = new URL(issuer)
const as = await oauth.processDiscoveryResponse(identifier, await oauth.discoveryRequest(identifier, insecure))
const client = { client_id }
const authentication = oauth.ClientSecretBasic(client_secret)
const pair = await oauth.generateKeyPair('ES256')
const DPoP = oauth.DPoP(client, pair)

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
const start = new URL(as.authorization_endpoint)
const parameters = {
  client_id, redirect_uri, response_type: 'code', scope, state, prompt: 'consent', dpop_jkt: await DPoP.calculateThumbprint(),
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
}
for (const [name, value] of Object.entries(parameters)) start.searchParams.set(name, value)
const answered = oauth.validateAuthResponse(as, client, await browse(start, redirect_uri), state)
const tokens = await again(async () => {
  const response = await oauth.authorizationCodeGrantRequest(as, client, authentication, answered, redirect_uri, verifier, { DPoP, ...insecure })
  return oauth.processAuthorizationCodeResponse(as, client, response)
})
const claims = oauth.getValidatedIdTokenClaims(tokens)
const userinfo = await again(async () => {
  const response = await oauth.userInfoRequest(as, client, tokens.access_token, { DPoP, ...insecure })
  return oauth.processUserInfoResponse(as, client, claims.sub, response)
})
const asBearer = (await fetch(as.userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } })).status
const refreshed = await again(async () => {
  const response = await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token, { DPoP, ...insecure })
  return oauth.processRefreshTokenResponse(as, client, response)
})

report({ tokenType: tokens.token_type, userinfo, asBearer, refreshedType: refreshed.token_type })
