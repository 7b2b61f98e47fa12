package dicomweb.subject_test

test_allow_when_a_role_permits_action_and_purpose if {
	count(data.dicomweb.subject.deny) == 0 with input as data.dicomweb.lib.fixture.good
}

test_deny_when_input_is_empty if {
	data.dicomweb.subject.deny == {"action-not-permitted", "purpose-not-permitted", "subject-unknown"} with input as {}
}

test_deny_when_the_subject_is_not_known if {
	i := data.dicomweb.lib.fixture.asks("nobody", "metadata")
	data.dicomweb.subject.deny == {"action-not-permitted", "purpose-not-permitted", "subject-unknown"} with input as i
}

test_deny_when_the_subject_has_no_role if {
	s := {"urn:dicomward:device:radiologist": {"roles": [], "institutions": "*"}}
	i := data.dicomweb.lib.fixture.good
	"subject-unknown" in data.dicomweb.subject.deny with input as i with data.subjects as s
}

test_deny_when_no_role_permits_the_action if {
	i := data.dicomweb.lib.fixture.asks("researcher", "retrieve")
	data.dicomweb.subject.deny == {"action-not-permitted"} with input as i
}

test_deny_when_the_action_is_not_listed if {
	i := data.dicomweb.lib.fixture.asks("radiologist", "delete")
	data.dicomweb.subject.deny == {"action-not-permitted"} with input as i
}

test_deny_when_the_authority_may_not_ask_for_the_action if {
	c := {"subject": {"certificate": {"authority_actions": ["search"]}}}
	i := object.union(data.dicomweb.lib.fixture.good, c)
	data.dicomweb.subject.deny == {"action-not-permitted"} with input as i
}

test_deny_when_the_version_is_another if {
	i := object.union(data.dicomweb.lib.fixture.good, {"version": 2})
	data.dicomweb.subject.deny == {"action-not-permitted"} with input as i
}

test_deny_when_the_purpose_is_not_the_roles if {
	p := {"request": {"purpose": {"code": "HRESCH", "source": "header"}}}
	i := object.union(data.dicomweb.lib.fixture.good, p)
	data.dicomweb.subject.deny == {"purpose-not-permitted"} with input as i
}

test_deny_when_the_purpose_is_not_the_sites if {
	p := {"request": {"purpose": {"code": "TREAT", "source": "header"}}}
	i := object.union(data.dicomweb.lib.fixture.good, p)
	data.dicomweb.subject.deny == {"purpose-not-permitted"} with input as i with data.purposes as {}
}

test_deny_when_the_purpose_is_not_an_object if {
	i := object.union(data.dicomweb.lib.fixture.good, {"request": {"purpose": "TREAT"}})
	data.dicomweb.subject.deny == {"purpose-not-permitted"} with input as i
}

test_allow_when_the_purpose_is_stated_and_permitted if {
	p := {"request": {"purpose": {"code": "ETREAT", "source": "header"}}}
	i := object.union(data.dicomweb.lib.fixture.good, p)
	count(data.dicomweb.subject.deny) == 0 with input as i
}

# One role permits the action, another the purpose: together they permit nothing.
test_deny_when_action_and_purpose_come_from_two_roles if {
	s := {"urn:dicomward:device:radiologist": {"roles": ["radiologist", "researcher"], "institutions": "*"}}
	p := {"request": {"action": "retrieve", "purpose": {"code": "HRESCH", "source": "header"}}}
	i := object.union(data.dicomweb.lib.fixture.good, p)
	data.dicomweb.subject.deny == {"purpose-not-permitted"} with input as i with data.subjects as s
}

# The reasons of a request that no role permits are for what is missing, and not for the object besides.
test_deny_when_no_role_permits_the_purpose_and_nothing_else_is_said if {
	p := {"request": {"purpose": {"code": "HRESCH", "source": "header"}}}
	i := object.union(data.dicomweb.lib.fixture.good, p)
	expected := {"allow": false, "reasons": ["purpose-not-permitted"], "obligations": []}
	data.dicomweb.authz.decision == expected with input as i
}

_said(name, source) := [{"name": name, "source": source}]

_unknown := {"action-not-permitted", "purpose-not-permitted", "subject-unknown"}

test_allow_when_the_user_is_known if {
	i := data.dicomweb.lib.fixture.by_user("dev/clinician", [], "metadata")
	expected := {"allow": true, "reasons": [], "obligations": []}
	data.dicomweb.authz.decision == expected with input as i
}

# The device's certificate would be allowed.
test_deny_when_the_user_is_not_known if {
	every id in ["dev/nobody", "other/clinician", "urn:dicomward:device:radiologist", "", null, 1] {
		i := data.dicomweb.lib.fixture.by_user(id, _said("radiologist", "token"), "metadata")
		data.dicomweb.subject.deny == _unknown with input as i
		data.dicomweb.authz.allow == false with input as i
	}
}

test_deny_when_the_user_is_no_object if {
	every user in ["dev/clinician", 0, false, [], {}] {
		i := object.union(data.dicomweb.lib.fixture.good, {"subject": {"user": user}})
		data.dicomweb.subject.deny == _unknown with input as i with data.users as {"*": {"roles": ["radiologist"]}}
	}
}

test_deny_when_it_is_missing_whether_there_is_a_user if {
	g := data.dicomweb.lib.fixture.good
	i := object.union(object.remove(g, ["subject"]), {"subject": object.remove(g.subject, ["user"])})
	data.dicomweb.subject.deny == _unknown with input as i
}

test_deny_when_a_name_of_a_certificate_is_a_users if {
	i := data.dicomweb.lib.fixture.asks("x", "metadata")
	u := {"urn:dicomward:device:x": {"roles": ["radiologist"], "institutions": "*"}}
	data.dicomweb.subject.deny == _unknown with input as i with data.users as u
}

test_allow_when_any_user_is_known if {
	u := {"*": {"roles": ["radiologist"], "institutions": "*"}, "dev/known": {"roles": [], "institutions": []}}
	i := data.dicomweb.lib.fixture.by_user("dev/anybody", [], "metadata")
	data.dicomweb.authz.allow with input as i with data.users as u
	j := data.dicomweb.lib.fixture.by_user("dev/known", [], "metadata")
	data.dicomweb.subject.deny == _unknown with input as j with data.users as u
}

test_deny_when_the_device_reaches_more_than_its_user if {
	q := data.dicomweb.lib.fixture.by_user("dev/clinician", [], "metadata")
	i := object.union(q, {"resource": {"institutions": ["South Clinic"]}})
	expected := {"allow": false, "reasons": ["institution-not-granted"], "obligations": []}
	data.dicomweb.authz.decision == expected with input as i
}

test_deny_when_the_users_patients_are_others if {
	u := {"dev/clinician": {"roles": ["radiologist"], "institutions": "*", "patients": ["P2"]}}
	i := data.dicomweb.lib.fixture.by_user("dev/clinician", [], "metadata")
	expected := {"allow": false, "reasons": ["patient-not-granted"], "obligations": []}
	data.dicomweb.authz.decision == expected with input as i with data.users as u
	j := data.dicomweb.lib.fixture.by_user("dev/clinician", [], "search")
	match := {"type": "match", "attribute": "00100020", "values": ["P2"]}
	data.dicomweb.authz.decision.obligations == [match, {"type": "filter_rows"}] with input as j with data.users as u
}

test_allow_when_a_role_is_said if {
	every source in ["token", "directory"] {
		u := {"dev/x": {"institutions": "*"}}
		i := data.dicomweb.lib.fixture.by_user("dev/x", _said("radiologist", source), "metadata")
		data.dicomweb.authz.allow with input as i with data.users as u
	}
	every source in ["certificate", "directory"] {
		s := {"urn:dicomward:device:radiologist": {"institutions": "*"}}
		i := object.union(data.dicomweb.lib.fixture.good, {"subject": {"roles": _said("radiologist", source)}})
		data.dicomweb.authz.allow with input as i with data.subjects as s
	}
}

test_allow_when_a_role_is_said_besides_those_of_the_profile if {
	i := object.union(data.dicomweb.lib.fixture.asks("researcher", "retrieve"), {"subject": {"roles": _said("radiologist", "directory")}})
	data.dicomweb.authz.allow with input as i
}

# What a certificate says is said of the device.
test_deny_when_the_role_is_the_devices if {
	every source in ["certificate", "", "rumour", null] {
		u := {"dev/x": {"institutions": "*"}}
		i := data.dicomweb.lib.fixture.by_user("dev/x", _said("radiologist", source), "metadata")
		data.dicomweb.subject.deny == _unknown with input as i with data.users as u
	}
}

test_deny_when_the_role_that_is_said_is_not_the_sites if {
	every name in ["administrator", "", "*", null, 1, ["radiologist"]] {
		u := {"dev/x": {"institutions": "*"}}
		i := data.dicomweb.lib.fixture.by_user("dev/x", _said(name, "token"), "metadata")
		data.dicomweb.subject.deny == _unknown with input as i with data.users as u
	}
}

test_deny_when_a_role_is_said_and_no_profile_is_there if {
	every action in ["search", "store", "metadata"] {
		i := object.union(data.dicomweb.lib.fixture.asks("nobody", action), {"subject": {"roles": _said("radiologist", "certificate")}})
		data.dicomweb.subject.deny == _unknown with input as i
		data.dicomweb.authz.allow == false with input as i
	}
}

test_deny_when_no_roles_are_listed if {
	every roles in [null, "radiologist", {}, 1] {
		s := {"urn:dicomward:device:radiologist": {"institutions": "*"}}
		i := object.union(data.dicomweb.lib.fixture.good, {"subject": {"roles": roles}})
		data.dicomweb.subject.deny == _unknown with input as i with data.subjects as s
	}
}

_allowed := {"allow": true, "reasons": [], "obligations": []}

_denied(code) := {"allow": false, "reasons": [code], "obligations": []}

# Roles, purpose, posture and user do not matter.
test_allow_when_a_known_device_tells_of_itself if {
	every name in ["workstation", "radiologist", "manager"] {
		q := data.dicomweb.lib.fixture.own(name, "report_posture")
		data.dicomweb.authz.decision == _allowed with input as q
		bad := object.union(q, {
			"request": {"purpose": {"code": "NONSENSE", "source": "header"}},
			"device": {"posture": {"firewall": {"value": false}}},
		})
		data.dicomweb.authz.decision == _allowed with input as bad
		none := object.union(object.remove(q, ["device"]), {"device": {"id": "ab", "posture": {}}})
		data.dicomweb.authz.decision == _allowed with input as none
		someone := {"id": "dev/nobody", "issuer": "dev", "subject": "nobody", "expires_at": "2026-11-22T20:00:00.000Z"}
		used := object.union(q, {"subject": {"user": someone}})
		data.dicomweb.authz.decision == _allowed with input as used
	}
}

test_deny_when_an_unknown_device_tells_of_itself if {
	i := data.dicomweb.lib.fixture.own("nobody", "report_posture")
	data.dicomweb.authz.decision == _denied("subject-unknown") with input as i
	used := object.union(i, {"subject": {"user": {"id": "dev/clinician"}}})
	data.dicomweb.authz.decision == _denied("subject-unknown") with input as used
}

test_allow_when_the_devices_authority_is_known if {
	i := data.dicomweb.lib.fixture.own("nobody", "report_posture")
	l := data.dicomweb.lib.fixture.limits({"reporting_authorities": ["site"]})
	data.dicomweb.authz.decision == _allowed with input as i with data.limits as l
	other := data.dicomweb.lib.fixture.limits({"reporting_authorities": ["partner"]})
	data.dicomweb.authz.decision == _denied("subject-unknown") with input as i with data.limits as other
}

test_deny_when_the_authority_may_not_report if {
	c := {"subject": {"certificate": {"authority_actions": ["metadata", "manage_posture"]}}}
	i := object.union(data.dicomweb.lib.fixture.own("radiologist", "report_posture"), c)
	data.dicomweb.authz.decision == _denied("action-not-permitted") with input as i
}

test_deny_when_a_report_is_of_another_version if {
	i := object.union(data.dicomweb.lib.fixture.own("radiologist", "report_posture"), {"version": 2})
	data.dicomweb.authz.decision == _denied("action-not-permitted") with input as i
}

# A role can neither let an unknown device report nor attach anything to a report.
test_deny_when_only_a_role_permits_reporting if {
	seal := {"*": [{"type": "seal"}]}
	r := {"r": data.dicomweb.lib.fixture.role({"actions": ["report_posture"], "obligations": seal})}
	u := {"dev/x": {"roles": ["r"], "institutions": "*"}}
	unknown := object.union(
		data.dicomweb.lib.fixture.own("nobody", "report_posture"),
		{"subject": {"user": {"id": "dev/x"}}, "resource": {"known": true}},
	)
	data.dicomweb.authz.decision == _denied("subject-unknown") with input as unknown with data.users as u with data.roles as r
	known := object.union(data.dicomweb.lib.fixture.own("workstation", "report_posture"), {"subject": {"user": {"id": "dev/x"}}})
	data.dicomweb.authz.decision == _allowed with input as known with data.users as u with data.roles as r
}

test_allow_when_a_manager_tells_of_devices if {
	i := data.dicomweb.lib.fixture.own("manager", "manage_posture")
	data.dicomweb.authz.decision == _allowed with input as i
	none := object.union(object.remove(i, ["device"]), {"device": {"id": "ab", "posture": {}}})
	data.dicomweb.authz.decision == _allowed with input as none
}

test_deny_when_another_tells_of_devices if {
	every name in ["radiologist", "technologist"] {
		i := data.dicomweb.lib.fixture.own(name, "manage_posture")
		data.dicomweb.authz.decision == _denied("action-not-permitted") with input as i
	}
	i := data.dicomweb.lib.fixture.own("workstation", "manage_posture")
	d := data.dicomweb.authz.decision with input as i
	d == {"allow": false, "reasons": ["action-not-permitted", "purpose-not-permitted", "subject-unknown"], "obligations": []}
}

# What was decided on oneself: whoever has a role may know, on a device in whatever state.
test_allow_when_a_decision_of_ones_own_is_read if {
	every name in ["radiologist", "technologist", "manager"] {
		i := data.dicomweb.lib.fixture.own(name, "read_decision")
		data.dicomweb.authz.decision == _allowed with input as i
		bad := object.union(i, {"device": {"posture": {"firewall": {"value": false}}}})
		data.dicomweb.authz.decision == _allowed with input as bad
	}
}

test_allow_when_who_sees_what_is_masked_reads_a_decision if {
	d := data.dicomweb.authz.decision with input as data.dicomweb.lib.fixture.own("researcher", "read_decision")
	d.allow
	{obligation.type | some obligation in d.obligations} == {"mask"}
}

test_deny_when_who_reads_a_decision_has_no_role if {
	every name in ["workstation", "nobody"] {
		d := data.dicomweb.authz.decision with input as data.dicomweb.lib.fixture.own(name, "read_decision")
		d.allow == false
		"subject-unknown" in d.reasons
	}
}

test_deny_when_no_role_includes_reading_decisions if {
	i := data.dicomweb.lib.fixture.own("radiologist", "read_decision")
	r := {"radiologist": data.dicomweb.lib.fixture.role({"actions": ["metadata"]})}
	data.dicomweb.authz.decision == _denied("action-not-permitted") with input as i with data.roles as r
}

test_deny_when_a_manager_wants_images if {
	every action in ["search", "metadata", "retrieve", "store"] {
		i := data.dicomweb.lib.fixture.asks("manager", action)
		"action-not-permitted" in data.dicomweb.subject.deny with input as i
		data.dicomweb.authz.allow == false with input as i
	}
}

test_deny_when_the_managers_authority_may_not_manage if {
	c := {"subject": {"certificate": {"authority_actions": ["report_posture"]}}}
	i := object.union(data.dicomweb.lib.fixture.own("manager", "manage_posture"), c)
	data.dicomweb.authz.decision == _denied("action-not-permitted") with input as i
}

test_deny_when_the_site_does_not_know_the_default_purpose if {
	u := object.remove(data.purposes, ["TREAT"])
	every patient in ["P1", "", null] {
		i := data.dicomweb.lib.fixture.resource({"patient_id": patient})
		d := data.dicomweb.authz.decision with input as i with data.purposes as u
		d == {"allow": false, "reasons": ["purpose-not-permitted"], "obligations": []}
	}
}
