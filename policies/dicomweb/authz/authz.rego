# METADATA
# title: Authorization
# description: |
#   The two entry points of the contract, version 1. What allows is named here, condition by condition, and nothing else
#   allows. The rules that deny say which condition did not hold: they are asked for reasons only where one does not. A
#   condition that went missing does not hold, and a denial without a reason is no decision: the proxy denies then too.
package dicomweb.authz

default allow := false

allow if decision.allow

# METADATA
# title: Decision
# description: "{allow, reasons, obligations}; reasons are sorted codes, empty if and only if allow is true."
# entrypoint: true
decision := {"allow": true, "reasons": [], "obligations": able.obligations} if {
	# The outcome of what follows for a known device that asks by its one role, at a third of the cost: a call
	# of a function costs as much as eight of these lines.
	input.version == 1
	input.subject.user == null
	input.subject.roles == []
	input.request.purpose == null
	held := data.dicomweb.prepared.subjects[input.subject.certificate.name]
	plan := data.dicomweb.prepared.plans[held.kind][held.reach][held.role]
	able := plan.actions[input.request.action]
	input.request.action in input.subject.certificate.authority_actions
	posture := input.device.posture
	now := input.time
	now > "2"
	trusts := able.class.trusts
	every attribute in posture {
		attribute.others == []
		attribute.expires_at > now
		attribute.expires_at < "9999"
		trusts[attribute.trust]
	}
	posture.disk_encryption.value == true
	posture.firewall.value == true
	posture.malware_protection.value == true
	posture.screen_lock.value == true
	posture.patch_age_days.value >= 0
	posture.patch_age_days.value <= able.class.patch_age_days
	is_object(input.counters)
	every _ in plan.rated { data.dicomweb.rate.permits(input.request.action) }
	resource := input.resource
	every _ in able.looked[type_name(input.request.instance)] {
		resource.known == true
		resource.institutions[0]
		resource.modalities[0]
		is_array(resource.departments)
		is_string(resource.patient_id)
		resource.conflicts == []
		every member, names in held.bounds {
			resource[member][0]
			every name in resource[member] { names[name] }
		}
		every member, names in plan.bounds {
			resource[member][0]
			every name in resource[member] { names[name] }
		}
		every _ in plan.restricted { data.dicomweb.consent.permits(plan.purposes, resource) }
		patient := trim_space(resource.patient_id)
		consents := [1 | data.dicomweb.prepared.consent.forbidding[patient]]
		every _ in consents { data.dicomweb.consent.permits(plan.purposes, resource) }
	}
	every _ in able.rows { "metadata" in input.subject.certificate.authority_actions }
	every _ in able.everything {
		is_string(data.dicomweb.site.permits("metadata", resource))
		data.dicomweb.rate.permits("metadata")
	}
	data.dicomweb.site.permits(input.request.action, resource)
} else := {"allow": true, "reasons": [], "obligations": obligations} if {
	input.version == 1
	input.request.action != "report_posture"
	grant := data.dicomweb.lib.subject.granted
	_fit
	_seldom
	_permitted
	obligations := data.dicomweb.obligations.required(grant, input.request.action)
} else := {"allow": true, "reasons": [], "obligations": []} if {
	# By what the device is, and not by a role of who uses it: so nothing that is attached to a role comes with it.
	input.version == 1
	input.request.action == "report_posture"
	data.dicomweb.subject.reports
	_fit
	_seldom
	data.dicomweb.site.permits(input.request.action, input.resource)
} else := {"allow": false, "reasons": sort(reasons), "obligations": data.dicomweb.obligations.of_denials}

# The conditions, each a rule: an engine works it out once, for the decision and for its reasons.
_fit if data.dicomweb.posture.fit(input.request.action, input.device.posture)

_seldom if data.dicomweb.rate.permits(input.request.action)

_permitted if {
	data.dicomweb.resource.permitted(data.dicomweb.lib.subject.granted, input.request.action, input.resource)
}

_reached if {
	grant := data.dicomweb.lib.subject.granted
	data.dicomweb.lib.reach.reached(grant.bounds, grant.roles, input.resource)
} else if {
	# Where no role counts, by those that would be asked why.
	not data.dicomweb.lib.subject.granted
	data.dicomweb.lib.reach.reached(
		data.dicomweb.lib.subject.holder.bounds,
		data.dicomweb.lib.subject.judged,
		input.resource,
	)
}

# METADATA
# description: |
#   Codes of what denies. Empty if and only if the conditions above hold, which is tested. Rules are not asked why what holds
#   does not.
reasons := union({_of_subject, _of_posture, _of_object, _of_rate, data.dicomweb.site.deny})

_of_subject := data.dicomweb.subject.deny if {
	input.request.action == "report_posture"
} else := set() if {
	input.version == 1
	data.dicomweb.lib.subject.granted
} else := union({data.dicomweb.subject.deny, data.dicomweb.hours.deny, data.dicomweb.network.deny}) if {
	count(data.dicomweb.lib.subject.permitted) > 0
} else := data.dicomweb.subject.deny

_of_posture := set() if {
	_fit
} else := data.dicomweb.posture.deny

_of_rate := set() if {
	_seldom
} else := data.dicomweb.rate.deny

_of_object := set() if {
	_permitted
} else := union({_of_bounds, data.dicomweb.conflict.deny, data.dicomweb.consent.deny})

_of_bounds := set() if {
	_reached
} else := union({
	data.dicomweb.department.deny,
	data.dicomweb.institution.deny,
	data.dicomweb.modality.deny,
	data.dicomweb.patient.deny,
	data.dicomweb.resource.deny,
})

# METADATA
# title: Visible rows
# description: |
#   Indices into input.rows of the objects of which the metadata would be allowed to the same subject, on the same
#   device, for the same purpose. Says the same as the decision, without being asked a hundred times.
# entrypoint: true
default visible := []

visible := positions if {
	input.version == 1
	is_array(input.rows)
	grant := data.dicomweb.lib.subject.grant("metadata")
	data.dicomweb.posture.fit("metadata", input.device.posture)
	data.dicomweb.rate.permits("metadata")
	positions := data.dicomweb.resource.permitted_rows(grant, input.rows)
}
