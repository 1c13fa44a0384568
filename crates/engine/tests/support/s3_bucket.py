# Makes a user who may use S3 and, as that user, a bucket; prints the user's two keys. Arguments: endpoint, bucket.
import json
import sys

import boto3
import urllib3

urllib3.disable_warnings()
endpoint, bucket = sys.argv[1:]


def client(service, access_key, secret_key):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        verify=False,
    )


allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
iam = client("iam", "nobody", "nobody")
iam.create_user(UserName="kubestash")
policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
iam.put_user_policy(UserName="kubestash", PolicyName="s3", PolicyDocument=policy)
key = iam.create_access_key(UserName="kubestash")["AccessKey"]
client("s3", key["AccessKeyId"], key["SecretAccessKey"]).create_bucket(Bucket=bucket)
print(key["AccessKeyId"])
print(key["SecretAccessKey"])
