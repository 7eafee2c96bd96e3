"""The routes that answer without a key are this list and no other; a test walks the app and compares."""

PUBLIC_ROUTES = frozenset(
    {
        "/health",  # load balancers ask it
        "/openapi.json",  # how to ask for the rest
        "/files/{asset_id}",  # the signature in the link is the key
        "/files/{asset_id}/thumbnail",  # and of this one its own
        "/",  # what this is
        "/login",  # here a key becomes a session
        "/login/sign-in.css",
        "/login/icon.svg",
        "/logout",  # a session that is none is signed out already
        "/comfy",  # a redirect to its own address with a slash
        "/assets/images/{path:path}",  # icons of the editor, where it is installed
        "/ws",  # 400 to what is no socket; a socket needs a key
        "/api/ws",
    }
)
