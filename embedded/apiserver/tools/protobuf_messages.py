#!/usr/bin/env python3
"""Writes src/http/protobuf/messages.txt: the field numbers of the built-in kinds this server takes as protobuf.

usage: protobuf_messages.py DIR > messages.txt
DIR holds the unpacked Go modules k8s.io/api and k8s.io/apimachinery (from a Go module proxy): their .proto files say
number and type of each field, the struct tags of their types.go its JSON name, and whether an empty value is left out.
"""
import pathlib
import re
import sys

ROOTS = """
core.v1: Namespace Secret ConfigMap Event ServiceAccount Pod PersistentVolume PersistentVolumeClaim Service Endpoints Node
events.v1: Event
batch.v1: Job CronJob
coordination.v1: Lease
rbac.v1: Role ClusterRole RoleBinding ClusterRoleBinding
admissionregistration.v1: ValidatingWebhookConfiguration MutatingWebhookConfiguration
authentication.v1: TokenRequest TokenReview SelfSubjectReview
authorization.v1: SubjectAccessReview LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
meta.v1: DeleteOptions
"""
SCALARS = {
    "string": "s", "bytes": "y", "bool": "b", "double": "d",
    "int32": "i", "int64": "i", "uint32": "i", "uint64": "i",
}
SPECIAL = {
    "meta.v1.Time": "time", "meta.v1.MicroTime": "microtime", "meta.v1.FieldsV1": "fields",
    "resource.Quantity": "quantity", "intstr.IntOrString": "intorstring", "runtime.RawExtension": "raw",
    "authentication.v1.ExtraValue": "items", "authorization.v1.ExtraValue": "items",
}


def package(name):
    """`k8s.io.api.core.v1` as `core.v1`."""
    parts = name.split(".")
    return ".".join(parts[-2:]) if re.match(r"v\d", parts[-1]) else parts[-1]


def messages(directory):
    found = {}
    for path in pathlib.Path(directory).rglob("generated.proto"):
        text = re.sub(r"//.*", "", path.read_text())
        name = package(re.search(r"^package (\S+);", text, re.M).group(1).replace("pkg.apis.", "").replace("pkg.", ""))
        for message, body in re.findall(r"^message (\w+) \{(.*?)^\}", text, re.M | re.S):
            fields = []
            pattern = r"^\s+(?:(repeated|optional)\s+)?(map<\s*string\s*,\s*\S+?\s*>|\S+)\s+(\w+)\s*=\s*(\d+)"
            for label, kind, field, number in re.findall(pattern, body, re.M):
                mapped = re.match(r"map<\s*string\s*,\s*(\S+?)\s*>", kind)
                shape = "{}" if mapped else "[]" if label == "repeated" else ""
                kind = mapped.group(1) if mapped else kind
                if kind not in SCALARS:
                    parts = kind.lstrip(".").split(".")
                    kind = f"{name}.{kind}" if len(parts) == 1 else package(".".join(parts[:-1])) + "." + parts[-1]
                fields.append((int(number), field, shape, kind))
            found[f"{name}.{message}"] = fields
    return found


def tags(directory):
    """(message, number) -> (JSON name, inline, left out when empty)."""
    found = {}
    for path in pathlib.Path(directory).rglob("*.go"):
        text = path.read_text()
        parts = path.parent.parts
        name = ".".join(parts[-2:]) if re.match(r"v\d", parts[-1]) else parts[-1]
        for struct, body in re.findall(r"^type (\w+) struct \{(.*?)^\}", text, re.M | re.S):
            for line in body.splitlines():
                match = re.match(r'\s+(?:(\w+)\s+)?(\S.*?)\s+`(.*)`', line)
                if not match:
                    continue
                kind, tag = match.group(2), match.group(3)
                json = re.search(r'json:"([^"]*)"', tag)
                number = re.search(r'protobuf:"\w+,(\d+)', tag)
                if not json or not number:
                    continue
                options = json.group(1).split(",")
                inline = "inline" in options or (options[0] == "" and "inline" in json.group(1))
                empty = "omitempty" in options and not kind.startswith("*")
                found[(f"{name}.{struct}", int(number.group(1)))] = (options[0], inline, empty)
    return found


def main():
    known, go = messages(sys.argv[1]), tags(sys.argv[1])
    todo = []
    for line in ROOTS.strip().splitlines():
        name, kinds = line.split(":")
        todo += [f"{name}.{kind}" for kind in kinds.split()]
    written = {}
    while todo:
        message = todo.pop()
        if message in written:
            continue
        fields = []
        for number, field, shape, kind in known[message]:
            json, inline, empty = go.get((message, number), (field, False, False))
            code = SCALARS.get(kind) or SPECIAL.get(kind)
            if not code:
                code = kind
                todo.append(kind)
            fields.append(f"{'@' if inline else json or field}={number}:{shape}{code}{'?' if empty else ''}")
        written[message] = " ".join(fields)
    print("# Written by tools/protobuf_messages.py from k8s.io/api and k8s.io/apimachinery v0.33.0. Field numbers never change.")
    print("# message name=number:type …; @ inline, [] list, {} map by string, ? left out when empty")
    for message in sorted(written):
        print(message, written[message])


main()
