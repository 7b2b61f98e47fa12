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
			"consent-withheld",
			"department-not-granted",
			"institution-not-granted",
			"modality-not-granted",
			"patient-not-granted",
			"posture-missing",
			"posture-stale",
			"purpose-not-permitted",
			"rate-exceeded",
			"resource-unknown",
			"subject-unknown",
		],
		"obligations": [],
	}
	data.dicomweb.authz.decision == expected with input as {}
	data.dicomweb.authz.visible == [] with input as {}
}

test_deny_when_there_is_no_data if {
	i := data.dicomweb.lib.fixture.good
	d := data.dicomweb.authz.decision with input as i with data.subjects as {} with data.roles as {}
		with data.limits as {}
		with data.posture as {}
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

test_deny_when_hidden_says_so_and_carries_nothing_else if {
	i := data.dicomweb.lib.fixture.at("technologist", "retrieve", ["South Clinic"])
	mask := {"type": "mask", "attributes": ["00100010"]}
	obligations := {"*": [{"type": "hide"}, mask]}
	expected := {"allow": false, "reasons": ["institution-not-granted"], "obligations": [{"type": "hide"}]}
	data.dicomweb.authz.decision == expected with input as i
		with data.roles.technologist.obligations as obligations
}

test_allow_when_a_search_is_filtered if {
	i := object.union(data.dicomweb.lib.fixture.asks("technologist", "search"), {"resource": {"known": false}})
	expected := {"allow": true, "reasons": [], "obligations": [{"type": "filter_rows"}]}
	data.dicomweb.authz.decision == expected with input as i
}

_rows := [
	{"known": true, "patient_id": "P1", "modalities": ["CT"], "departments": [""], "institutions": ["North Hospital"]},
	{"known": true, "patient_id": "P1", "modalities": ["CT"], "departments": [""], "institutions": ["South Clinic"]},
	{"known": true, "patient_id": "P1", "modalities": ["CT", "SR"], "departments": [""], "institutions": ["North Hospital", "South Clinic"]},
	{"known": true, "patient_id": "P2", "modalities": ["MR"], "departments": [""], "institutions": ["North Hospital"]},
	{"known": true, "patient_id": null, "modalities": ["CT"], "departments": [""], "institutions": ["North Hospital"]},
	{"known": true, "patient_id": "P1", "modalities": [""], "departments": [""], "institutions": ["North Hospital"]},
	{"known": true, "patient_id": "P1", "modalities": ["CT"], "departments": [""], "institutions": [""]},
	{"known": true, "patient_id": "P1", "modalities": ["CT"], "departments": [""], "institutions": []},
	{"known": true, "patient_id": "P1", "modalities": [], "departments": [""], "institutions": ["North Hospital"]},
	{"known": true, "patient_id": "P1", "modalities": ["CT"], "institutions": ["North Hospital"]},
	{"known": true, "patient_id": "P1", "modalities": ["CT"], "departments": null, "institutions": ["North Hospital"]},
	{"known": true, "modalities": ["CT"], "departments": [""], "institutions": ["North Hospital"]},
	{"known": true, "patient_id": "P1", "departments": [""], "institutions": ["North Hospital"]},
	{"known": "true", "patient_id": "P1", "modalities": ["CT"], "departments": [""], "institutions": ["North Hospital"]},
	{"known": false, "patient_id": null, "modalities": [], "departments": [""], "institutions": []},
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
	data.dicomweb.authz.visible == [] with input as i
}

test_visible_is_nothing_when_the_version_is_another if {
	i := object.union(data.dicomweb.lib.fixture.good, {"rows": _rows, "version": 2})
	data.dicomweb.authz.visible == [] with input as i
}

test_deny_when_rows_are_no_list if {
	i := object.union(data.dicomweb.lib.fixture.good, {"rows": null})
	data.dicomweb.authz.visible == [] with input as i
}

test_visible_respects_every_boundary if {
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"rows": _rows})
	s := data.dicomweb.lib.fixture.subjects(["all"], {"patients": ["P1"]})
	r := {"all": data.dicomweb.lib.fixture.role({"modalities": ["CT", "SR"], "institutions": ["North Hospital", "South Clinic"]})}
	data.dicomweb.authz.visible == [0, 1, 2] with input as i with data.subjects as s with data.roles as r
}

# Rows are judged by what metadata demands of the device, not by what the search does.
test_visible_demands_the_trust_that_metadata_demands if {
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"rows": _rows})
	low := data.dicomweb.lib.fixture.demanding({"metadata": "managed"})
	data.dicomweb.authz.visible == [] with input as i with data.posture as low
	other := data.dicomweb.lib.fixture.demanding({"search": "managed"})
	count(data.dicomweb.authz.visible) > 0 with input as i with data.posture as other
}

test_visible_is_what_the_user_may_see_and_not_the_device if {
	seen := data.dicomweb.authz.visible with input as object.union(
		data.dicomweb.lib.fixture.by_user("dev/clinician", [], "search"),
		{"rows": _rows},
	)
	own := data.dicomweb.authz.visible with input as object.union(
		data.dicomweb.lib.fixture.asks("radiologist", "search"),
		{"rows": _rows},
	)
	0 in seen
	not 1 in seen
	1 in own
	nobody := data.dicomweb.lib.fixture.by_user("dev/nobody", [], "search")
	data.dicomweb.authz.visible == [] with input as object.union(nobody, {"rows": _rows})
}

# Two roles, so that rows and decisions are judged at greater length.
test_visible_is_what_metadata_would_allow_to_several_roles if {
	s := data.dicomweb.lib.fixture.subjects(["north", "ct"], {})
	r := {
		"north": data.dicomweb.lib.fixture.role({"institutions": ["North Hospital"]}),
		"ct": data.dicomweb.lib.fixture.role({"modalities": ["CT"]}),
	}
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"rows": _rows})
	seen := data.dicomweb.authz.visible with input as i with data.subjects as s with data.roles as r
	count(seen) > 3
	every index, row in _rows {
		j := object.union(object.remove(i, ["resource"]), {"resource": row, "request": {"action": "metadata"}})
		allowed := data.dicomweb.authz.allow with input as j with data.subjects as s with data.roles as r
		shown := index in seen
		allowed == shown
	}
}

test_deny_when_a_profile_is_no_object if {
	every profile in [null, 1, "radiologist", ["radiologist"]] {
		s := {"urn:dicomward:device:radiologist": profile}
		data.dicomweb.authz.allow == false with input as data.dicomweb.lib.fixture.good with data.subjects as s
		said := {"subject": {"roles": [{"name": "radiologist", "source": "certificate"}]}}
		i := object.union(data.dicomweb.lib.fixture.good, said)
		data.dicomweb.authz.allow == false with input as i with data.subjects as s
	}
}

# What is looked up for one role is what is found at greater length for the same role said twice.
test_allow_when_both_ways_answer_the_same if {
	every name in ["radiologist", "technologist", "researcher"] {
		every action in ["search", "metadata", "retrieve"] { _both_ways(name, action, "North Hospital") }
	}
}

test_deny_when_both_ways_deny if {
	every name in ["technologist", "nobody"] { _both_ways(name, "retrieve", "South Clinic") }
}

_both_ways(name, action, institution) if {
	i := data.dicomweb.lib.fixture.at(name, action, [institution])
	short := data.dicomweb.authz.decision with input as i
	twice := object.union(i, {"subject": {"roles": [{"name": "absent", "source": "certificate"}]}})
	long := data.dicomweb.authz.decision with input as twice
	short == long
}
