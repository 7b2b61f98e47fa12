# METADATA
# title: Fixture
# description: One input that is allowed, and ways to change it. For tests only.
package dicomweb.lib.fixture

# The radiologist reads the metadata of a study at North Hospital, on a device in good order.
good := {
	"version": 1,
	"time": "2026-11-22T19:40:00.123Z",
	"request": {
		"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		"action": "metadata",
		"level": "study",
		"method": "GET",
		"study": "1.2.3",
		"series": null,
		"instance": null,
		"frames": [],
		"bulk": null,
		"thumbnail": false,
		"query": {"match": {}, "include": [], "fuzzy": false, "limit": null, "offset": 0},
		"representation": "application/dicom+json",
		"transfer_syntax": "*",
		"bytes": null,
		"purpose": null,
	},
	"subject": {
		"certificate": {
			"name": "urn:dicomward:device:radiologist",
			"subject": "CN=radiologist",
			"fingerprint": "00",
			"serial": "01",
			"authority": "site",
			"authority_actions": ["search", "metadata", "retrieve", "render", "bulkdata", "store", "read_decision", "report_posture", "manage_posture"],
			"not_after": "2027-01-01T00:00:00.000Z",
		},
		"revocation": {"status": "good", "as_of": null, "expires_at": null},
		"user": null,
		"roles": [],
	},
	"device": {"id": "ab", "posture": {
		"disk_encryption": attribute(true),
		"firewall": attribute(true),
		"malware_protection": attribute(true),
		"patch_age_days": attribute(3),
		"screen_lock": attribute(true),
	}},
	"resource": {
		"known": true,
		"as_of": "2026-11-22T19:39:59.000Z",
		"patient_id": "P1",
		"accession_number": "A1",
		"modalities": ["CT"],
		"institutions": ["North Hospital"],
		"departments": ["Radiology"],
		"study_date": "20260101",
		"labels": [],
		"conflicts": [],
	},
	"rows": [],
	"counters": {},
	"environment": {
		"site": "site",
		"origin": "",
		"network": "",
		"local": {"date": "2026-11-22", "weekday": "sunday", "time": "20:40"},
	},
}

attribute(value) := {
	"value": value,
	"source": "agent",
	"trust": "reported",
	"issued_at": "2026-11-22T19:00:00.000Z",
	"expires_at": "2026-11-22T20:00:00.000Z",
	"others": [],
}

# What another source says besides.
claim(value, trust) := {
	"value": value,
	"source": "other",
	"trust": trust,
	"issued_at": "2026-11-22T19:00:00.000Z",
	"expires_at": "2026-11-22T20:00:00.000Z",
}

# The same, asked by another dev identity, to do something else.
asks(name, action) := object.union(good, {
	"request": {"action": action},
	"subject": {"certificate": {"name": concat("", ["urn:dicomward:device:", name])}},
})

at(name, action, institutions) := object.union(asks(name, action), {"resource": {"institutions": institutions}})

posture(attributes) := object.union(good, {"device": {"posture": attributes}})

without(name) := object.union(
	object.remove(good, ["device"]),
	{"device": {"id": "ab", "posture": object.remove(good.device.posture, [name])}},
)

# Data of its own for what the shipped data does not hold: a subject with these roles and boundaries.
subjects(roles, boundaries) := {"urn:dicomward:device:radiologist": object.union({"roles": roles, "institutions": "*"}, boundaries)}

# One role that may do everything for treatment, but for what is changed.
role(changes) := object.union(
	{
		"actions": ["search", "metadata", "retrieve", "store"],
		"institutions": "*",
		"default_purpose": "TREAT",
		"purposes": ["TREAT"],
		"obligations": {},
	},
	changes,
)

resource(changes) := object.union(good, {"resource": changes})

# A user of the radiologist's device asks, who is said to have these roles.
by_user(id, roles, action) := object.union(
	asks("radiologist", action),
	{"subject": {"user": {"id": id, "issuer": "dev", "subject": "x", "expires_at": "2026-11-22T20:00:00.000Z"}, "roles": roles}},
)

# The same, about nothing that the archive has.
own(name, action) := object.union(
	asks(name, action),
	{"request": {"level": null, "study": null}, "resource": {"known": false, "modalities": [], "institutions": []}},
)

limits(posture) := object.union(data.limits, {"posture": posture})

# One class by each word of trust, and "reported" for what the table does not list.
demanding(table) := {"classes": {word: class({"minimum_trust": word}) | some word in ["reported", "managed", "attested"]}, "demands": {"*": object.union({"*": "reported"}, table)}}

# One class for everything.
class_of(changes) := {"classes": {"one": class(changes)}, "demands": {"*": {"*": "one"}}}

class(changes) := object.union(
	{
		"required": ["disk_encryption", "firewall", "malware_protection", "patch_age_days", "screen_lock"],
		"patch_age_days": 30,
		"minimum_trust": "reported",
	},
	changes,
)
