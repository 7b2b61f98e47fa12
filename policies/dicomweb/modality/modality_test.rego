package dicomweb.modality_test

# What is decided about the radiologist with these roles.
_decision(roles, resource) := d if {
	s := data.dicomweb.lib.fixture.subjects([name | some name, _ in roles], {})
	i := data.dicomweb.lib.fixture.resource(resource)
	d := data.dicomweb.authz.decision with input as i with data.subjects as s with data.roles as roles
}

_one(modalities) := {"one": data.dicomweb.lib.fixture.role({"modalities": modalities})}

_denied(code) := {"allow": false, "reasons": [code], "obligations": []}

test_deny_when_input_is_empty if {
	data.dicomweb.modality.deny == {"modality-not-granted"} with input as {}
}

test_allow_when_the_role_names_no_modalities if {
	every modalities in [["CT"], ["CT", "SR"], [""]] {
		_decision({"one": data.dicomweb.lib.fixture.role({})}, {"modalities": modalities}).allow
		_decision(_one("*"), {"modalities": modalities}).allow
	}
}

test_allow_when_every_modality_is_covered if {
	every modalities in [["CT"], ["CT", "SR"]] {
		_decision(_one(["SR", "CT"]), {"modalities": modalities}).allow
	}
}

test_deny_when_a_modality_is_not_covered if {
	every modalities in [["MR"], ["CT", "MR"], ["ct"], [""], ["", "CT"], []] {
		_decision(_one(["CT", ""]), {"modalities": modalities}) == _denied("modality-not-granted")
	}
}

test_deny_when_modalities_are_not_known if {
	every modalities in ["CT", null, 1, {"a": "CT"}, []] {
		_decision(_one("*"), {"modalities": modalities}) == _denied("modality-not-granted")
		_decision(_one(["CT"]), {"modalities": modalities}) == _denied("modality-not-granted")
	}
}

test_deny_when_the_roles_modalities_are_no_list if {
	every boundary in ["CT", null, false, true, 1, {"a": "CT"}, []] {
		_decision(_one(boundary), {"modalities": ["CT"]}) == _denied("modality-not-granted")
	}
}

# One role covers CT, another MR; none covers an object that is both.
test_deny_when_modalities_come_from_two_roles if {
	roles := {
		"ct": data.dicomweb.lib.fixture.role({"modalities": ["CT"]}),
		"mr": data.dicomweb.lib.fixture.role({"modalities": ["MR"]}),
	}
	_decision(roles, {"modalities": ["MR"]}).allow
	_decision(roles, {"modalities": ["CT", "MR"]}) == _denied("modality-not-granted")
}

# CT at North and MR at South do not add up to MR at North.
test_deny_when_modality_and_institution_come_from_two_roles if {
	roles := {
		"ct": data.dicomweb.lib.fixture.role({"modalities": ["CT"], "institutions": ["North Hospital"]}),
		"mr": data.dicomweb.lib.fixture.role({"modalities": ["MR"], "institutions": ["South Clinic"]}),
	}
	_decision(roles, {"modalities": ["CT"], "institutions": ["North Hospital"]}).allow
	_decision(roles, {"modalities": ["MR"], "institutions": ["North Hospital"]}) == _denied("institution-not-granted")
	both := ["North Hospital", "South Clinic"]
	_decision(roles, {"modalities": ["MR"], "institutions": both}) == _denied("partial-study")
	_decision(roles, {"modalities": ["CT", "MR"], "institutions": both}) == _denied("modality-not-granted")
}

# Institutions of roles that cover the same object add up.
test_allow_when_institutions_come_from_two_roles if {
	roles := {
		"north": data.dicomweb.lib.fixture.role({"modalities": ["CT", "SR"], "institutions": ["North Hospital"]}),
		"south": data.dicomweb.lib.fixture.role({"institutions": ["South Clinic"]}),
	}
	_decision(roles, {"modalities": ["CT"], "institutions": ["North Hospital", "South Clinic"]}).allow
}

test_allow_when_no_object_is_named if {
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"resource": {"known": false, "modalities": []}})
	r := {"radiologist": data.dicomweb.lib.fixture.role({"modalities": ["CT"]})}
	count(data.dicomweb.modality.deny) == 0 with input as i with data.roles as r
}
