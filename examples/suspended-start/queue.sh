#!/bin/sh
# What a queueing system does with JobSets, by hand: it admits one to a part of the cluster, suspends
# it for one that is more urgent, and admits it again elsewhere. README.md beside this file explains it.
set -eu
# The paths that KUBECONFIG names may be relative, so this stays where it was called.
here=$(dirname "$0")
if ! command -v kubectl >/dev/null; then
  echo 'queue.sh needs kubectl on PATH' >&2
  exit 1
fi
for pool in pool-0 pool-1; do
  if [ -z "$(kubectl get nodes -l "pool=$pool" -o name)" ]; then
    echo "no node has the label pool=$pool; README.md beside this script says how to have some" >&2
    exit 1
  fi
done
patience=--timeout=120s

# The template of the only role says where Pods may go; it can be changed while the JobSet is suspended.
admit() {
  echo "$1 is admitted to $2"
  kubectl patch jobset "$1" --type=json -p '[
    {"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/spec/nodeSelector", "value": {"pool": "'"$2"'"}},
    {"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/metadata", "value": {"labels": {"pool": "'"$2"'"}}},
    {"op": "replace", "path": "/spec/suspend", "value": false}
  ]' >/dev/null
}

pods() {
  kubectl get pods -l "jobset.sigs.k8s.io/jobset-name=$1" --no-headers --ignore-not-found | wc -l
}

kubectl apply -f "$here/jobsets.yaml"
kubectl wait --for=condition=Suspended jobset/nightly jobset/urgent "$patience" >/dev/null
echo "Pods of nightly: $(pods nightly), of urgent: $(pods urgent)"

admit nightly pool-0
kubectl wait --for=jsonpath='{.status.replicatedJobsStatus[0].ready}'=2 jobset/nightly "$patience" >/dev/null
nodes=$(kubectl get pods -l jobset.sigs.k8s.io/jobset-name=nightly -o jsonpath='{.items[*].spec.nodeName}')
echo "nightly runs on $nodes"

echo 'nightly is suspended: something urgent needs its place'
kubectl patch jobset nightly --type=merge -p '{"spec": {"suspend": true}}' >/dev/null
kubectl wait --for=delete pod -l jobset.sigs.k8s.io/jobset-name=nightly "$patience" >/dev/null
echo "Pods of nightly: $(pods nightly)"

admit urgent pool-0
kubectl wait --for=condition=Completed jobset/urgent "$patience" >/dev/null
kubectl logs -l jobset.sigs.k8s.io/jobset-name=urgent

admit nightly pool-1
kubectl wait --for=condition=Completed jobset/nightly "$patience" >/dev/null
kubectl logs -l jobset.sigs.k8s.io/jobset-name=nightly
echo "restarts of nightly: $(kubectl get jobset nightly -o jsonpath='{.status.restarts}')"

# They would be removed an hour from now. The time to live can be changed at any time.
kubectl patch jobset nightly --type=merge -p '{"spec": {"ttlSecondsAfterFinished": 0}}' >/dev/null
kubectl wait --for=delete jobset/nightly "$patience" >/dev/null
echo 'nightly has been removed after its time to live'
