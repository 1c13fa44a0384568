# Makes a container. Arguments: endpoint with the account, account, key in base64, container.
import base64
import email.utils
import hashlib
import hmac
import sys
import urllib.request

endpoint, account, key, container = sys.argv[1:]
headers = {
    "x-ms-date": email.utils.formatdate(usegmt=True),
    "x-ms-version": "2021-12-02",
}
canonical = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
path = urllib.request.urlparse(endpoint).path
resource = f"/{account}{path}/{container}\nrestype:container"
text = "PUT" + "\n" * 12 + canonical + resource
digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
request = urllib.request.Request(f"{endpoint}/{container}?restype=container", method="PUT", headers=headers)
urllib.request.urlopen(request, timeout=10).read()
