package dicomweb.consent_test

# What data says of consents, and how a decision about the fixture's patient comes out.
_system := "http://terminology.hl7.org/CodeSystem/v3-ActReason"

_codings(codes) := [{"system": _system, "code": code} | some code in codes]

_of(patient, provision) := {
	"resourceType": "Consent",
	"id": "c1",
	"status": "active",
	"scope": {"coding": [{"code": "patient-privacy"}]},
	"patient": {"identifier": {"system": "urn:oid:1.2", "value": patient}},
	"dateTime": "2026-01-01",
	"provision": provision,
}

_opt_in := object.union(data.consent, {"default": {"HRESCH": "deny", "CLINTRCH": "deny"}})

_stating(code) := object.union(data.dicomweb.lib.fixture.good, {"request": {"purpose": {"code": code, "source": "header"}}})

_research := data.dicomweb.lib.fixture.asks("researcher", "metadata")

_withheld := {"consent-withheld"}

test_deny_when_input_is_empty if {
	data.dicomweb.consent.deny == _withheld with input as {}
}

test_allow_when_the_patient_has_no_consent if {
	c := [_of("P2", {"type": "deny"})]
	every i in [data.dicomweb.lib.fixture.good, _research] {
		data.dicomweb.consent.deny == set() with input as i with data.consents as c
		d := data.dicomweb.authz.decision with input as i with data.consents as c
		d.allow
	}
}

test_deny_when_the_patient_opted_out if {
	every patient in ["P1", " P1 "] {
		c := [_of(patient, {"type": "deny"})]
		i := data.dicomweb.lib.fixture.good
		d := data.dicomweb.authz.decision with input as i with data.consents as c
		d == {"allow": false, "reasons": ["consent-withheld"], "obligations": []}
	}
}

test_deny_when_the_archive_pads_the_patient if {
	every patient in ["P1 ", " P1"] {
		c := [_of("P1", {"type": "deny"})]
		i := data.dicomweb.lib.fixture.resource({"patient_id": patient})
		data.dicomweb.consent.deny == _withheld with input as i with data.consents as c
	}
}

test_deny_when_the_purpose_is_forbidden if {
	c := [_of("P1", {"type": "deny", "purpose": _codings(["HRESCH"])})]
	data.dicomweb.consent.deny == _withheld with input as _research with data.consents as c
	data.dicomweb.consent.deny == set() with input as data.dicomweb.lib.fixture.good with data.consents as c
}

test_deny_when_the_purpose_is_a_kind_of_what_is_forbidden if {
	c := [_of("P1", {"type": "deny", "purpose": _codings(["HRESCH"])})]
	trial := object.union(_research, {"request": {"purpose": {"code": "CLINTRCH", "source": "header"}}})
	data.dicomweb.consent.deny == _withheld with input as trial with data.consents as c
	narrow := [_of("P1", {"type": "deny", "purpose": _codings(["CLINTRCH"])})]
	data.dicomweb.consent.deny == _withheld with input as trial with data.consents as narrow
	data.dicomweb.consent.deny == set() with input as _research with data.consents as narrow
}

test_allow_when_an_emergency_overrides if {
	every provision in [{"type": "deny"}, {"type": "nonsense"}] {
		c := [_of("P1", provision)]
		d := data.dicomweb.authz.decision with input as _stating("ETREAT") with data.consents as c
		d.allow
	}
}

test_deny_when_no_purpose_overrides if {
	c := [_of("P1", {"type": "deny"})]
	none := object.union(data.consent, {"overriding_purposes": []})
	data.dicomweb.consent.deny == _withheld with input as _stating("ETREAT") with data.consents as c with data.consent as none
}

test_deny_when_not_every_purpose_overrides if {
	c := [_of("P1", {"type": "deny"})]
	not _permits(["ETREAT", "TREAT"]) with data.consents as c with input as data.dicomweb.lib.fixture.good
	_permits(["ETREAT"]) with data.consents as c with input as data.dicomweb.lib.fixture.good
	not _permits([]) with data.consents as c with input as data.dicomweb.lib.fixture.good
}

_permits(purposes) if data.dicomweb.consent.permits(purposes, {"patient_id": "P1"})

test_deny_when_research_needs_a_consent if {
	data.dicomweb.consent.deny == _withheld with input as _research with data.consent as _opt_in
	data.dicomweb.consent.deny == set() with input as data.dicomweb.lib.fixture.good with data.consent as _opt_in
}

# Trials are a kind of research (data.consent.narrower), unless a default of their own says otherwise.
test_deny_when_a_kind_of_what_needs_a_consent_is_meant if {
	trial := object.union(_research, {"request": {"purpose": {"code": "CLINTRCH", "source": "header"}}})
	research := object.union(data.consent, {"default": {"HRESCH": "deny"}})
	data.dicomweb.consent.deny == _withheld with input as trial with data.consent as research
	trials := object.union(data.consent, {"default": {"HRESCH": "deny", "CLINTRCH": "permit"}})
	data.dicomweb.consent.deny == set() with input as trial with data.consent as trials
}

test_allow_when_the_patient_consented_to_research if {
	c := [_of("P1", {"type": "permit", "purpose": _codings(["HRESCH"])})]
	data.dicomweb.consent.deny == set() with input as _research with data.consents as c with data.consent as _opt_in
}

test_deny_when_the_default_is_missing if {
	every rest in [{}, {"default": {}}, {"default": {"*": "allow"}}, {"default": null}, null] {
		data.dicomweb.consent.deny == _withheld with input as _research with data.consent as rest
	}
}

test_deny_when_one_of_several_consents_forbids if {
	permit := _of("P1", {"type": "permit"})
	deny := _of("P1", {"type": "deny", "purpose": _codings(["TREAT"])})
	i := data.dicomweb.lib.fixture.good
	data.dicomweb.consent.deny == set() with input as i with data.consents as [permit, permit]
	data.dicomweb.consent.deny == _withheld with input as i with data.consents as [permit, deny]
	data.dicomweb.consent.deny == _withheld with input as i with data.consents as [deny, permit]
}

test_allow_when_an_exception_permits if {
	exception := {"type": "permit", "purpose": _codings(["TREAT"])}
	c := [_of("P1", {"type": "deny", "provision": [exception]})]
	data.dicomweb.consent.deny == set() with input as data.dicomweb.lib.fixture.good with data.consents as c
	data.dicomweb.consent.deny == _withheld with input as _research with data.consents as c
}

test_deny_when_an_exception_forbids if {
	exception := {"type": "deny", "purpose": _codings(["HRESCH"])}
	c := [_of("P1", {"type": "permit", "provision": [exception]})]
	data.dicomweb.consent.deny == _withheld with input as _research with data.consents as c
	data.dicomweb.consent.deny == set() with input as data.dicomweb.lib.fixture.good with data.consents as c
	both := [_of("P1", {"type": "permit", "provision": [{"type": "permit"}, exception]})]
	data.dicomweb.consent.deny == _withheld with input as _research with data.consents as both
}

test_deny_when_an_exception_permits_what_the_consent_does_not_speak_of if {
	c := [_of("P1", {"type": "deny", "purpose": _codings(["TREAT"]), "provision": [{"type": "permit"}]})]
	data.dicomweb.consent.deny == _withheld with input as _research with data.consents as c with data.consent as _opt_in
}

# The fixture asks at 2026-11-22T19:40:00.123Z.
test_deny_when_the_period_is_now if {
	every period in [
		{},
		{"start": "2026-11-22"},
		{"end": "2026-11-22"},
		{"start": "2026-11-22", "end": "2026-11-22"},
		{"start": "2026-11-22T19:40:00Z", "end": "2026-11-22T19:40:00Z"},
		{"start": "2026-11-22T19:40:00.123Z", "end": "2026-11-22T19:40:00.123Z"},
	] {
		c := [_of("P1", {"type": "deny", "period": period})]
		data.dicomweb.consent.deny == _withheld with input as data.dicomweb.lib.fixture.good with data.consents as c
	}
}

test_allow_when_the_period_is_not_now if {
	every period in [
		{"start": "2026-11-23"},
		{"end": "2026-11-21"},
		{"start": "2026-11-22T19:40:01Z"},
		{"end": "2026-11-22T19:39:59Z"},
		{"start": "2026-11-22T19:40:00.124Z"},
		{"end": "2026-11-22T19:40:00.122Z"},
	] {
		c := [_of("P1", {"type": "deny", "period": period})]
		data.dicomweb.consent.deny == set() with input as data.dicomweb.lib.fixture.good with data.consents as c
	}
}

test_deny_when_a_consent_has_ended_and_one_is_needed if {
	c := [_of("P1", {"type": "permit", "period": {"end": "2026-11-21"}})]
	data.dicomweb.consent.deny == _withheld with input as _research with data.consents as c with data.consent as _opt_in
}

test_allow_when_the_exception_has_ended if {
	exception := {"type": "deny", "period": {"end": "2026-11-21"}}
	c := [_of("P1", {"type": "permit", "provision": [exception]})]
	data.dicomweb.consent.deny == set() with input as data.dicomweb.lib.fixture.good with data.consents as c
}

test_deny_when_the_time_is_missing if {
	c := [_of("P1", {"type": "deny", "period": {"end": "2026-01-01"}})]
	none := object.remove(data.dicomweb.lib.fixture.good, ["time"])
	every i in [none, object.union(none, {"time": null}), object.union(none, {"time": 1})] {
		data.dicomweb.consent.deny == _withheld with input as i with data.consents as c
	}
}

test_deny_when_the_patient_is_missing_or_none if {
	good := data.dicomweb.lib.fixture.good
	none := object.union(object.remove(good, ["resource"]), {"resource": object.remove(good.resource, ["patient_id"])})
	data.dicomweb.consent.deny == _withheld with input as none
	every patient in [1, false, ["P1"], {"P1": true}] {
		i := data.dicomweb.lib.fixture.resource({"patient_id": patient})
		data.dicomweb.consent.deny == _withheld with input as i
	}
}

test_deny_when_no_patient_is_named_and_a_consent_is_needed if {
	every patient in ["", null] {
		i := object.union(_research, {"resource": {"patient_id": patient}})
		data.dicomweb.consent.deny == _withheld with input as i with data.consent as _opt_in
		data.dicomweb.consent.deny == set() with input as i
	}
}

test_allow_when_the_consent_is_not_in_force if {
	every status in ["draft", "proposed", "rejected", "inactive", "entered-in-error"] {
		c := [object.union(_of("P1", {"type": "deny"}), {"status": status, "extension": []})]
		data.dicomweb.consent.deny == set() with input as data.dicomweb.lib.fixture.good with data.consents as c
	}
}

_wrong := [
	{"status": "aktive"},
	{"status": null},
	{"resourceType": "Patient"},
	{"extension": []},
	{"policyRule": {"text": "opt in"}},
	{"verification": [{"verified": false}]},
	{"patient": {"extension": []}},
	{"patient": {"identifier": {"period": {"end": "2000"}}}},
	{"provision": {"actor": []}},
	{"provision": {"type": "allow"}},
	{"provision": {"type": null}},
	{"provision": {"purpose": []}},
	{"provision": {"purpose": false}},
	{"provision": {"purpose": "HRESCH"}},
	{"provision": {"purpose": [{"code": "TREAT"}]}},
	{"provision": {"purpose": [{"system": "urn:other", "code": "TREAT"}]}},
	{"provision": {"purpose": _codings(["TREET"])}},
	{"provision": {"purpose": [{"system": _system, "code": "TREAT", "userSelected": true}]}},
	{"provision": {"period": {"end": "2099"}}},
	{"provision": {"period": {"end": "2099-13-01"}}},
	{"provision": {"period": {"end": "2099-1-01"}}},
	{"provision": {"period": {"end": "2099-01-32"}}},
	{"provision": {"period": {"end": "2099-01-00"}}},
	{"provision": {"period": {"end": "99-01-01-1"}}},
	{"provision": {"period": {"end": "20a9-01-01"}}},
	{"provision": {"period": {"end": "2099-01-01T10:00Z"}}},
	{"provision": {"period": {"end": "2099-01-01T10:00:00+01:00"}}},
	{"provision": {"period": {"end": "2099-01-01T24:00:00Z"}}},
	{"provision": {"period": {"end": "2099-01-01T10:00:00.000+"}}},
	{"provision": {"period": {"end": "2099-01-01x10:00:00.000Z"}}},
	{"provision": {"period": {"end": 2099}}},
	{"provision": {"period": {"end": false}}},
	{"provision": {"period": {"start": 1, "end": "2099-01-01"}}},
	{"provision": {"period": {"until": "2099-01-01"}}},
	{"provision": {"period": null}},
	{"provision": {"period": "2099"}},
	{"provision": {"period": {"end": null}}},
	{"provision": {"period": {"start": ""}}},
	{"provision": {"purpose": ["TREAT"]}},
	{"provision": {"purpose": null}},
	{"provision": {"purpose": [null]}},
	{"provision": {"provision": {"type": "deny"}}},
	{"provision": {"provision": false}},
	{"provision": {"provision": null}},
	{"provision": {"provision": [{"type": "deny", "class": []}]}},
	{"provision": {"provision": [{"type": "deny", "provision": []}]}},
	{"provision": {"provision": [{}]}},
	{"provision": {"provision": []}},
	{"provision": {"period": {"start": "2026-12-01", "end": "2026-01-01"}}},
	{"provision": {"period": {"start": "2026-01-01T00:00:01Z", "end": "2026-01-01T00:00:00Z"}}},
	{"provision": {"provision": ["deny"]}},
	{"provision": null},
]

# What was meant is not known, so everything is forbidden: the rest of each of these permits.
test_deny_when_a_consent_is_not_understood if {
	every change in _wrong {
		c := [object.union(_of("P1", {"type": "permit"}), change)]
		i := data.dicomweb.lib.fixture.good
		data.dicomweb.consent.deny == _withheld with input as i with data.consents as c
		[0] == data.dicomweb.prepared.consent.malformed with data.consents as c
	}
}

test_deny_when_a_member_is_missing if {
	every member in ["resourceType", "status", "provision"] {
		c := [object.remove(_of("P1", {"type": "permit"}), [member])]
		i := data.dicomweb.lib.fixture.good
		data.dicomweb.consent.deny == _withheld with input as i with data.consents as c
	}
}

# It might be anybody's.
test_deny_when_a_consent_says_of_no_patient if {
	anonymous := object.remove(_of("P1", {"type": "deny"}), ["patient"])
	every consent in [
		anonymous,
		object.union(anonymous, {"patient": {"identifier": {"value": 1}}}),
		_of("", {"type": "deny"}),
		_of(" ", {"type": "deny"}),
		"P1",
		null,
	] {
		i := data.dicomweb.lib.fixture.good
		data.dicomweb.consent.deny == _withheld with input as i with data.consents as [consent]
		data.dicomweb.consent.deny == set() with input as _stating("ETREAT") with data.consents as [consent]
	}
}

test_deny_when_consents_are_no_list if {
	every consents in [null, {}, "none"] {
		i := data.dicomweb.lib.fixture.good
		data.dicomweb.consent.deny == _withheld with input as i with data.consents as consents
	}
}

test_allow_when_no_object_is_named if {
	c := [_of("P1", {"type": "deny"})]
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"resource": {"known": false, "patient_id": null}})
	data.dicomweb.consent.deny == set() with input as i with data.consents as c
}

test_deny_when_nobody_asks_for_that_alone if {
	c := [_of("P1", {"type": "deny"})]
	i := data.dicomweb.lib.fixture.asks("researcher", "retrieve")
	d := data.dicomweb.authz.decision with input as i with data.consents as c
	d == {"allow": false, "reasons": ["action-not-permitted"], "obligations": []}
}

test_visible_leaves_out_who_opted_out if {
	c := [_of("P1", {"type": "deny"})]
	row := data.dicomweb.lib.fixture.good.resource
	rows := [row, object.union(row, {"patient_id": "P2"})]
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"rows": rows})
	data.dicomweb.authz.visible == [1] with input as i with data.consents as c
}

test_deny_by_the_decision_when_a_consent_is_needed if {
	every name in ["radiologist", "technologist"] {
		i := data.dicomweb.lib.fixture.asks(name, "metadata")
		needed := object.union(data.consent, {"default": {"*": "deny"}})
		d := data.dicomweb.authz.decision with input as i with data.consent as needed
		d == {"allow": false, "reasons": ["consent-withheld"], "obligations": []}
		c := [_of("P1", {"type": "permit", "purpose": _codings(["TREAT"])})]
		e := data.dicomweb.authz.decision with input as i with data.consent as needed with data.consents as c
		e.allow
	}
}
