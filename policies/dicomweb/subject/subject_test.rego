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
