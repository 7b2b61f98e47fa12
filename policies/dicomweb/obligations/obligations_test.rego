package dicomweb.obligations_test

test_deny_when_input_is_empty if {
	data.dicomweb.authz.decision.obligations == [] with input as {}
}

test_allow_when_everything_may_be_seen_without_a_filter if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	data.dicomweb.authz.decision.obligations == [] with input as i
}

test_allow_when_rows_are_filtered if {
	i := data.dicomweb.lib.fixture.asks("technologist", "search")
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i
}

test_allow_when_the_authority_reads_no_metadata_and_rows_are_filtered if {
	c := {"subject": {"certificate": {"authority_actions": ["search"]}}}
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), c)
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i
}

test_allow_when_attributes_are_masked if {
	every action in ["search", "metadata"] {
		i := data.dicomweb.lib.fixture.asks("researcher", action)
		masks := [o | some o in data.dicomweb.authz.decision.obligations; o.type == "mask"] with input as i
		count(masks) == 1
		"00100010" in masks[0].attributes
	}
}

test_allow_when_an_obligation_is_for_one_action if {
	r := {"technologist": {
		"actions": ["metadata", "retrieve"],
		"institutions": "*",
		"default_purpose": "TREAT",
		"purposes": ["TREAT"],
		"obligations": {"retrieve": [{"type": "seal"}]},
	}}
	i := data.dicomweb.lib.fixture.asks("technologist", "retrieve")
	data.dicomweb.authz.decision.obligations == [{"type": "seal"}] with input as i with data.roles as r
	j := data.dicomweb.lib.fixture.asks("technologist", "metadata")
	data.dicomweb.authz.decision.obligations == [] with input as j with data.roles as r
}

test_allow_when_only_rows_of_the_patients_are_asked_for if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": ["P2", "", "P1", "P1", null]})
	match := {"type": "match", "attribute": "00100020", "values": ["P1", "P2"]}
	data.dicomweb.authz.decision.obligations == [match, {"type": "filter_rows"}] with input as i with data.subjects as s
}

test_allow_when_no_patient_is_listed_and_nothing_is_shown if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	every patients in [[], [""], null, false, "P1", {"a": "P1"}] {
		s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": patients})
		data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i with data.subjects as s
	}
}

test_allow_when_metadata_of_some_patients_is_read_and_nothing_is_asked_for if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "metadata")
	s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": ["P1"]})
	data.dicomweb.authz.decision.obligations == [] with input as i with data.subjects as s
}

test_allow_when_rows_are_filtered_by_modality if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	r := {"radiologist": data.dicomweb.lib.fixture.role({"modalities": ["CT"]})}
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i with data.roles as r
}

test_search_masks_what_metadata_would_be_masked_of if {
	i := data.dicomweb.lib.fixture.asks("technologist", "search")
	mask := {"type": "mask", "attributes": ["00100010"]}
	masking := {
		"actions": ["metadata"],
		"institutions": "*",
		"default_purpose": "TREAT",
		"purposes": ["TREAT"],
		"obligations": {"metadata": [mask]},
	}
	found := data.dicomweb.authz.decision.obligations with input as i
		with data.subjects as {"urn:dicomward:device:technologist": {
			"roles": ["technologist", "masking"],
			"institutions": ["North Hospital"],
		}}
		with data.roles.masking as masking
	mask in found
}

# The same by a role that is said besides: at greater length.
_also(name, action) := object.union(
	data.dicomweb.lib.fixture.asks(name, action),
	{"subject": {"roles": [{"name": "technologist", "source": "directory"}]}},
)

test_allow_when_several_roles_see_everything_without_a_filter if {
	data.dicomweb.authz.decision.obligations == [] with input as _also("radiologist", "search")
}

test_allow_when_several_roles_mask_and_filter if {
	i := _also("researcher", "search")
	masked := data.dicomweb.authz.decision.obligations with input as i
	[o.type | some o in masked] == ["mask"]
	s := data.dicomweb.lib.fixture.subjects(["radiologist", "technologist"], {"patients": ["P1"]})
	match := {"type": "match", "attribute": "00100020", "values": ["P1"]}
	data.dicomweb.authz.decision.obligations == [match, {"type": "filter_rows"}] with input as _also("radiologist", "search")
		with data.subjects as s
}

test_allow_when_masks_of_both_roles_are_joined if {
	masks := [{"type": "mask", "attributes": ["00100010"]}, {"type": "mask", "attributes": ["00100020"]}]
	r := {
		"one": data.dicomweb.lib.fixture.role({"obligations": {"*": [masks[0], masks[0]]}}),
		"two": data.dicomweb.lib.fixture.role({"obligations": {"metadata": [masks[1]], "search": [{"type": "seal"}]}}),
	}
	s := data.dicomweb.lib.fixture.subjects(["one", "two"], {})
	data.dicomweb.authz.decision.obligations == [masks[0], masks[1], {"type": "seal"}] with input as _also("radiologist", "search")
		with data.subjects as s
		with data.roles as r
}

test_allow_when_a_consent_is_known_and_rows_are_filtered if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	consent := {
		"resourceType": "Consent",
		"status": "active",
		"patient": {"identifier": {"value": "P9"}},
		"provision": {"type": "deny"},
	}
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i with data.consents as [consent]
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as _also("radiologist", "search")
		with data.consents as [consent]
}

# Nobody asks of a row that is not filtered what its metadata demand of the device, or how often they may be asked for.
test_allow_when_metadata_demand_more_of_the_device_and_rows_are_filtered if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	p := data.dicomweb.lib.fixture.demanding({"metadata": "managed"})
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i with data.posture as p
	q := data.dicomweb.lib.fixture.demanding({"render": "managed"})
	data.dicomweb.authz.decision.obligations == [] with input as i with data.posture as q
}

test_allow_when_metadata_were_had_too_often_and_rows_are_filtered if {
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"counters": {"patients_hour": 5}})
	r := {"metadata": {"patients_hour": 5}}
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i with data.rates as r
	s := {"metadata": {"patients_hour": 6}}
	data.dicomweb.authz.decision.obligations == [] with input as i with data.rates as s
}

test_allow_when_a_patient_opted_out_and_rows_are_filtered if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "search")
	c := [{
		"resourceType": "Consent",
		"status": "active",
		"patient": {"identifier": {"value": "P9"}},
		"provision": {"type": "deny"},
	}]
	data.dicomweb.authz.decision.obligations == [{"type": "filter_rows"}] with input as i with data.consents as c
}
