package dicomweb.institution_test

test_deny_when_input_is_empty if {
	data.dicomweb.institution.deny == {"institution-not-granted"} with input as {}
}

test_allow_when_every_institution_is_granted if {
	i := data.dicomweb.lib.fixture.at("technologist", "retrieve", ["North Hospital"])
	count(data.dicomweb.institution.deny) == 0 with input as i
}

test_allow_when_the_subject_reaches_everything if {
	every institutions in [["North Hospital", "South Clinic"], ["", "Elsewhere"], [""]] {
		i := data.dicomweb.lib.fixture.at("radiologist", "retrieve", institutions)
		count(data.dicomweb.institution.deny) == 0 with input as i
	}
}

test_deny_when_the_institution_is_another if {
	i := data.dicomweb.lib.fixture.at("technologist", "retrieve", ["South Clinic"])
	data.dicomweb.institution.deny == {"institution-not-granted"} with input as i
}

test_deny_when_the_object_names_no_institution if {
	every institutions in [[""], []] {
		i := data.dicomweb.lib.fixture.at("technologist", "retrieve", institutions)
		data.dicomweb.institution.deny == {"institution-not-granted"} with input as i
	}
}

test_deny_when_an_empty_name_is_granted_by_mistake if {
	s := {"urn:dicomward:device:technologist": {"roles": ["technologist"], "institutions": ["", "North Hospital"]}}
	i := data.dicomweb.lib.fixture.at("technologist", "retrieve", [""])
	data.dicomweb.institution.deny == {"institution-not-granted"} with input as i with data.subjects as s
}

test_deny_when_institutions_are_not_a_list if {
	every name in ["radiologist", "technologist"] {
		i := object.union(data.dicomweb.lib.fixture.asks(name, "retrieve"), {"resource": {"institutions": "North Hospital"}})
		"institution-not-granted" in data.dicomweb.institution.deny with input as i
	}
}

test_deny_when_part_of_a_study_is_granted if {
	every institutions in [["North Hospital", "South Clinic"], ["", "North Hospital"]] {
		i := data.dicomweb.lib.fixture.at("technologist", "retrieve", institutions)
		data.dicomweb.institution.deny == {"partial-study"} with input as i
	}
}

test_deny_when_part_of_a_series_is_granted if {
	r := {"request": {"level": "series", "series": "1.2.3.4"}}
	i := object.union(data.dicomweb.lib.fixture.at("technologist", "retrieve", ["North Hospital", "South Clinic"]), r)
	data.dicomweb.institution.deny == {"institution-not-granted"} with input as i
}

test_deny_when_a_role_reaches_less_than_its_holder if {
	i := data.dicomweb.lib.fixture.at("researcher", "metadata", ["Elsewhere"])
	data.dicomweb.institution.deny == {"institution-not-granted"} with input as i
}

# Reaching everything as a radiologist is of no use to what is done as a researcher.
test_deny_when_only_a_role_for_another_purpose_reaches_it if {
	s := {"urn:dicomward:device:radiologist": {"roles": ["radiologist", "researcher"], "institutions": "*"}}
	p := {"request": {"purpose": {"code": "HRESCH", "source": "header"}}}
	i := object.union(data.dicomweb.lib.fixture.at("radiologist", "metadata", ["Elsewhere"]), p)
	data.dicomweb.institution.deny == {"institution-not-granted"} with input as i with data.subjects as s
}

test_allow_when_a_store_has_no_part_yet if {
	i := object.union(data.dicomweb.lib.fixture.asks("technologist", "store"), {"resource": {"known": false, "institutions": []}})
	count(data.dicomweb.institution.deny) == 0 with input as i
}

test_deny_when_a_part_is_of_another_institution if {
	i := object.union(
		data.dicomweb.lib.fixture.at("technologist", "store", ["South Clinic"]),
		{"request": {"instance": "1.2.3.4"}},
	)
	data.dicomweb.institution.deny == {"institution-not-granted"} with input as i
}

test_allow_when_a_part_is_of_the_own_institution if {
	i := object.union(data.dicomweb.lib.fixture.asks("technologist", "store"), {"request": {"instance": "1.2.3.4"}})
	count(data.dicomweb.institution.deny) == 0 with input as i
}
