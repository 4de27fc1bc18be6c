"""The names of metadata members registered for authorization servers and OpenID Providers."""

REGISTERED = frozenset(
    """
    issuer authorization_endpoint token_endpoint jwks_uri registration_endpoint scopes_supported
    response_types_supported response_modes_supported grant_types_supported token_endpoint_auth_methods_supported
    token_endpoint_auth_signing_alg_values_supported service_documentation ui_locales_supported op_policy_uri
    op_tos_uri revocation_endpoint revocation_endpoint_auth_methods_supported
    revocation_endpoint_auth_signing_alg_values_supported introspection_endpoint
    introspection_endpoint_auth_methods_supported introspection_endpoint_auth_signing_alg_values_supported
    code_challenge_methods_supported signed_metadata

    userinfo_endpoint acr_values_supported subject_types_supported id_token_signing_alg_values_supported
    id_token_encryption_alg_values_supported id_token_encryption_enc_values_supported
    userinfo_signing_alg_values_supported userinfo_encryption_alg_values_supported
    userinfo_encryption_enc_values_supported request_object_signing_alg_values_supported
    request_object_encryption_alg_values_supported request_object_encryption_enc_values_supported
    display_values_supported claim_types_supported claims_supported claims_locales_supported
    claims_parameter_supported request_parameter_supported request_uri_parameter_supported
    require_request_uri_registration prompt_values_supported

    check_session_iframe end_session_endpoint frontchannel_logout_supported frontchannel_logout_session_supported
    backchannel_logout_supported backchannel_logout_session_supported

    device_authorization_endpoint tls_client_certificate_bound_access_tokens mtls_endpoint_aliases
    require_signed_request_object pushed_authorization_request_endpoint require_pushed_authorization_requests
    authorization_response_iss_parameter_supported dpop_signing_alg_values_supported
    authorization_details_types_supported protected_resources
    introspection_signing_alg_values_supported introspection_encryption_alg_values_supported
    introspection_encryption_enc_values_supported authorization_signing_alg_values_supported
    authorization_encryption_alg_values_supported authorization_encryption_enc_values_supported
    backchannel_token_delivery_modes_supported backchannel_authentication_endpoint
    backchannel_authentication_request_signing_alg_values_supported backchannel_user_code_parameter_supported

    client_registration_types_supported federation_registration_endpoint signed_jwks_uri jwks
    request_authentication_methods_supported request_authentication_signing_alg_values_supported
    organization_name display_name description keywords contacts logo_uri policy_uri information_uri
    organization_uri
    """.split()
)

BOOLEANS = frozenset(
    """
    claims_parameter_supported request_parameter_supported request_uri_parameter_supported
    require_request_uri_registration authorization_response_iss_parameter_supported
    require_signed_request_object require_pushed_authorization_requests tls_client_certificate_bound_access_tokens
    frontchannel_logout_supported frontchannel_logout_session_supported backchannel_logout_supported
    backchannel_logout_session_supported backchannel_user_code_parameter_supported
    """.split()
)
TEXTS = frozenset(
    {"issuer", "jwks_uri", "service_documentation", "op_policy_uri", "op_tos_uri", "signed_metadata"}
)

GRANT_TYPES = frozenset(
    """
    authorization_code implicit refresh_token client_credentials password
    urn:ietf:params:oauth:grant-type:jwt-bearer urn:ietf:params:oauth:grant-type:saml2-bearer
    urn:ietf:params:oauth:grant-type:device_code urn:ietf:params:oauth:grant-type:token-exchange
    urn:openid:params:grant-type:ciba
    """.split()
)
SIGNING_ALGORITHMS = frozenset(
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 ES256K EdDSA Ed25519 Ed448".split()
)
