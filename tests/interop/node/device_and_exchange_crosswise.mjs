// The same as `device_and_exchange`, the other way round: the device is oauth4webapi's, the exchange openid-client's.
import { browse, options, refusal, report } from './talk.mjs'

const client = await import('openid-client')
const oauth = await import('oauth4webapi')
const { issuer, device_id, service_id, service_secret, scope, resource } = options

const http = issuer.startsWith('http:') ? { [oauth.allowInsecureRequests]: true } : {}
const identifier = new URL(issuer)
const as = await oauth.processDiscoveryResponse(identifier, await oauth.discoveryRequest(identifier, http))
const device = { client_id: device_id }
const none = oauth.None()
const asked = await oauth.deviceAuthorizationRequest(as, device, none, new URLSearchParams({ scope, resource }), http)
const codes = await oauth.processDeviceAuthorizationResponse(as, device, asked)
const ask = async () => {
  const response = await oauth.deviceCodeGrantRequest(as, device, none, codes.device_code, http)
  return oauth.processDeviceCodeResponse(as, device, response)
}
const early = await refusal(ask())
const done = await browse(new URL(codes.verification_uri_complete), new URL('/device/done', issuer).toString())
await new Promise((resolve) => setTimeout(resolve, codes.interval * 1000))
const tokens = await ask()

const config = await client.discovery(
  identifier, service_id, undefined, client.ClientSecretBasic(service_secret),
  { execute: issuer.startsWith('http:') ? [client.allowInsecureRequests] : [] },
)
const own = await client.clientCredentialsGrant(config, { resource })
const type = 'urn:ietf:params:oauth:token-type:access_token'
const exchange = {
  subject_token: tokens.access_token, subject_token_type: type, actor_token: own.access_token, actor_token_type: type,
}
const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
const exchanged = await client.genericGrantRequest(config, grant, exchange)
const wider = await refusal(client.genericGrantRequest(config, grant, { ...exchange, scope: 'write' }))
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
report({
  page: done.pathname, sub: oauth.getValidatedIdTokenClaims(tokens)?.sub, early, subject: claims(tokens.access_token),
  exchanged: claims(exchanged.access_token), issued: exchanged.issued_token_type, wider,
})
