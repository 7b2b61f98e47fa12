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
decision := {"allow": true, "reasons": [], "obligations": obligations} if {
	input.version == 1
	input.request.action != "report_posture"
	grant := data.dicomweb.lib.subject.grant(input.request.action)
	data.dicomweb.posture.fit(input.request.action, input.device.posture)
	data.dicomweb.rate.permits(input.request.action)
	data.dicomweb.resource.permitted(grant, input.request.action, input.resource)
	obligations := data.dicomweb.obligations.required(grant, input.request.action)
} else := {"allow": true, "reasons": [], "obligations": []} if {
	# By what the device is, and not by a role of who uses it: so nothing that is attached to a role comes with it.
	input.version == 1
	input.request.action == "report_posture"
	data.dicomweb.subject.reports
	data.dicomweb.posture.fit(input.request.action, input.device.posture)
	data.dicomweb.rate.permits(input.request.action)
	data.dicomweb.site.permits(input.request.action, input.resource)
} else := {"allow": false, "reasons": sort(reasons), "obligations": data.dicomweb.obligations.of_denials}

# METADATA
# description: Codes of what denies. Empty if and only if the conditions above hold, which is tested.
reasons := union({
	data.dicomweb.conflict.deny,
	data.dicomweb.consent.deny,
	data.dicomweb.department.deny,
	data.dicomweb.hours.deny,
	data.dicomweb.institution.deny,
	data.dicomweb.modality.deny,
	data.dicomweb.network.deny,
	data.dicomweb.patient.deny,
	data.dicomweb.posture.deny,
	data.dicomweb.rate.deny,
	data.dicomweb.resource.deny,
	data.dicomweb.site.deny,
	data.dicomweb.subject.deny,
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
	positions := [position |
		some position, row in input.rows
		data.dicomweb.resource.object_permitted(grant, "metadata", row)
	]
}
