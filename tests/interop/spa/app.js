// A single-page app with oidc-client-ts, as its documentation shows it. The test calls these functions.
const parameters = new URLSearchParams(location.search)
const configuration = JSON.parse(sessionStorage.getItem('configuration') ?? 'null')

function manager() {
  return new oidc.UserManager({
    authority: configuration.authority,
    client_id: 'spa',
    redirect_uri: location.origin + '/',
    post_logout_redirect_uri: location.origin + '/',
    scope: 'openid profile email offline_access',
    loadUserInfo: true,
    automaticSilentRenew: false,
    revokeTokenTypes: ['refresh_token'],
  })
}

function show(state, result) {
  document.getElementById('result').textContent = JSON.stringify(result ?? null)
  document.getElementById('state').textContent = state
}

async function signIn(authority) {
  sessionStorage.setItem('configuration', JSON.stringify({ authority }))
  location.href = '/?start'
}

async function refresh() {
  const before = await manager().getUser()
  const user = await manager().signinSilent()
  show('refreshed', { changed: user.access_token !== before.access_token, sub: user.profile.sub })
}

async function revoke() {
  const user = await manager().getUser()
  await manager().revokeTokens(['refresh_token'])
  const metadata = await manager().metadataService.getMetadata()
  const answer = await fetch(metadata.userinfo_endpoint, { headers: { authorization: `Bearer ${user.access_token}` } })
  const challenge = answer.headers.get('www-authenticate')
  show('revoked', { status: answer.status, challenge })
}

async function signOut() {
  await manager().signoutRedirect({ state: 'goodbye' })
}

addEventListener('DOMContentLoaded', async () => {
  try {
    if (parameters.has('start')) await manager().signinRedirect({ prompt: 'consent' })
    else if (parameters.has('code')) {
      const user = await manager().signinCallback()
      show('signed in', { profile: user.profile, scopes: user.scopes, expires_in: user.expires_in, type: user.token_type })
    } else if (configuration && parameters.has('state')) show('signed out', await manager().signoutCallback())
    else show('ready')
  } catch (error) {
    show('failed', String(error))
  }
})
