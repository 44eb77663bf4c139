CREATE INDEX due_work_of_customer ON due_work (environment_id, customer_id, due_at);
