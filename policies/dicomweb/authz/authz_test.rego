package dicomweb.authz_test

test_allow_when_all_is_well if {
	expected := {"allow": true, "reasons": [], "obligations": []}
	data.dicomweb.authz.decision == expected with input as data.dicomweb.lib.fixture.good
}

test_deny_when_input_is_empty if {
	expected := {
		"allow": false,
		"reasons": [
			"action-not-permitted",
			"institution-not-granted",
			"posture-missing",
			"posture-stale",
			"purpose-not-permitted",
			"resource-unknown",
			"subject-unknown",
		],
		"obligations": [],
	}
	data.dicomweb.authz.decision == expected with input as {}
	data.dicomweb.authz.visible == set() with input as {}
}

test_deny_when_there_is_no_data if {
	i := data.dicomweb.lib.fixture.good
	d := data.dicomweb.authz.decision with input as i with data.subjects as {} with data.roles as {} with data.limits as {}
	d.allow == false
	count(d.reasons) > 0
}

test_deny_when_a_researcher_wants_pixels if {
	i := data.dicomweb.lib.fixture.asks("researcher", "retrieve")
	expected := {"allow": false, "reasons": ["action-not-permitted"], "obligations": []}
	data.dicomweb.authz.decision == expected with input as i
}

test_deny_when_several_rules_deny if {
	i := object.union(
		data.dicomweb.lib.fixture.at("technologist", "retrieve", ["South Clinic"]),
		{"device": {"posture": {"firewall": {"value": false}}}},
	)
	expected := {"allow": false, "reasons": ["institution-not-granted", "posture-firewall-off"], "obligations": []}
	data.dicomweb.authz.decision == expected with input as i
}

test_allow_when_a_search_is_filtered if {
	i := object.union(data.dicomweb.lib.fixture.asks("technologist", "search"), {"resource": {"known": false}})
	expected := {"allow": true, "reasons": [], "obligations": [{"type": "filter_rows"}]}
	data.dicomweb.authz.decision == expected with input as i
}

_rows := [
	{"known": true, "institutions": ["North Hospital"]},
	{"known": true, "institutions": ["South Clinic"]},
	{"known": true, "institutions": ["North Hospital", "South Clinic"]},
	{"known": true, "institutions": [""]},
	{"known": false, "institutions": []},
	{"known": true, "institutions": []},
	{},
]

test_visible_is_what_metadata_would_allow if {
	every name in ["radiologist", "technologist", "researcher", "nobody"] {
		i := object.union(data.dicomweb.lib.fixture.asks(name, "search"), {"rows": _rows})
		seen := data.dicomweb.authz.visible with input as i
		every index, row in _rows {
			q := data.dicomweb.lib.fixture.asks(name, "metadata")
			j := object.union(object.remove(q, ["resource"]), {"resource": row})
			allowed := data.dicomweb.authz.allow with input as j
			shown := index in seen
			allowed == shown
		}
	}
}

test_visible_is_nothing_when_the_device_is_not_in_order if {
	i := object.union(data.dicomweb.lib.fixture.posture({"firewall": {"value": false}}), {"rows": _rows})
	data.dicomweb.authz.visible == set() with input as i
}
