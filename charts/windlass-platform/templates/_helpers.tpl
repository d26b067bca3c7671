{{- define "windlass.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The alerts as they are in files/, with links to where the documents are kept. */}}
{{- define "windlass.alerts" -}}
{{ .Files.Get "files/alerts.yaml" | replace "runbook_url: docs/" (printf "runbook_url: %sdocs/" .Values.alerts.runbooks) }}
{{- end }}
